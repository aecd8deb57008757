"""RAUC's D-Bus interface: its names and members, as introspection data. Pure.

The members are those of RAUC 1.8 (Debian 12), and the later ``InspectBundle`` (1.9), ``GetArtifactStatus`` (1.13) and
``SystemVersion``. ``de.pengutronix.rauc.Poller`` is not served: RAUC has it only where it polls.
"""

from __future__ import annotations

BUS_NAME = "de.pengutronix.rauc"
OBJECT_PATH = "/"
INSTALLER = "de.pengutronix.rauc.Installer"
# What GLib calls G_IO_ERROR_FAILED_HANDLED on the wire; RAUC answers every refusal with it (src/service.c).
REFUSED = "org.gtk.GDBus.UnmappedGError.Quark._g_2dio_2derror_2dquark.Code30"
DENIED = "org.freedesktop.DBus.Error.AccessDenied"
BUSY = "Already processing a different method"

# Who may call is asked of agent.bus.access, by the actions of our own interface.
INTROSPECTION = """\
<node>
  <interface name="de.pengutronix.rauc.Installer">
    <method name="Install">
      <annotation name="org.otaagent.Access" value="install"/>
      <arg name="source" type="s" direction="in"/>
    </method>
    <method name="InstallBundle">
      <annotation name="org.otaagent.Access" value="install"/>
      <arg name="source" type="s" direction="in"/>
      <arg name="args" type="a{sv}" direction="in"/>
    </method>
    <method name="Info">
      <annotation name="org.otaagent.Access" value="none"/>
      <arg name="bundle" type="s" direction="in"/>
      <arg name="compatible" type="s" direction="out"/>
      <arg name="version" type="s" direction="out"/>
    </method>
    <method name="InspectBundle">
      <annotation name="org.otaagent.Access" value="none"/>
      <arg name="source" type="s" direction="in"/>
      <arg name="args" type="a{sv}" direction="in"/>
      <arg name="info" type="a{sv}" direction="out"/>
    </method>
    <method name="Mark">
      <annotation name="org.otaagent.Access" value="mark"/>
      <arg name="state" type="s" direction="in"/>
      <arg name="slot_identifier" type="s" direction="in"/>
      <arg name="slot_name" type="s" direction="out"/>
      <arg name="message" type="s" direction="out"/>
    </method>
    <method name="GetSlotStatus">
      <annotation name="org.otaagent.Access" value="none"/>
      <arg name="slot_status_array" type="a(sa{sv})" direction="out"/>
    </method>
    <method name="GetArtifactStatus">
      <annotation name="org.otaagent.Access" value="none"/>
      <arg name="artifacts" type="aa{sv}" direction="out"/>
    </method>
    <method name="GetPrimary">
      <annotation name="org.otaagent.Access" value="none"/>
      <arg name="primary" type="s" direction="out"/>
    </method>
    <property name="Operation" type="s" access="read"/>
    <property name="LastError" type="s" access="read"/>
    <property name="Progress" type="(isi)" access="read"/>
    <property name="Compatible" type="s" access="read"/>
    <property name="Variant" type="s" access="read"/>
    <property name="SystemVersion" type="s" access="read"/>
    <property name="BootSlot" type="s" access="read"/>
    <signal name="Completed"><arg name="result" type="i"/></signal>
  </interface>
</node>
"""
