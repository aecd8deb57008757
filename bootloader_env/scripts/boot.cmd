# Chooses the slot to boot, counts the attempt, and boots it: U-Boot, hush shell. See docs/boot-scripts.md.
#
#   mkimage -T script -C none -d boot.cmd boot.scr
#
# Shared with the agent, and with RAUC:
#   BOOT_ORDER     boot names, first choice first; slots that are not in it are not booted
#   BOOT_<n>_LEFT  boots that are left for slot <n>, lower case hexadecimal, 0 to ff
#
# What this script needs from U-Boot: CMD_RUN, CMD_SETEXPR, HUSH_PARSER, and an environment that saveenv can write.
# A shell variable cannot be emptied in this shell, therefore values are compared with an x in front.

# ---- Settings. A variable of the environment is preferred to the value that stands here.
test -n "${ota_slots}" || ota_slots="A B"
test -n "${ota_rescue}" || ota_rescue="-"
test -n "${ota_attempts}" || ota_attempts="3"
test -n "${ota_medium}" || ota_medium="mmc 0"
test -n "${ota_part_A}" || ota_part_A="2"
test -n "${ota_part_B}" || ota_part_B="3"
test -n "${ota_part_C}" || ota_part_C="4"
test -n "${ota_part_R}" || ota_part_R="1"
test -n "${ota_args_A}" || ota_args_A="root=/dev/mmcblk0p2"
test -n "${ota_args_B}" || ota_args_B="root=/dev/mmcblk0p3"
test -n "${ota_args_C}" || ota_args_C="root=/dev/mmcblk0p4"
test -n "${ota_args_R}" || ota_args_R="root=/dev/mmcblk0p1"
test -n "${ota_bootargs}" || ota_bootargs="ro rootwait"
test -n "${ota_kernel}" || ota_kernel="/boot/Image"
# Commands that replace ours, all of the environment: ota_boot_<n>, ota_boot (load and start slot ${ota_slot}; to return
# means that it did not start), ota_save (store the environment), ota_reset.

# Kernel arguments of a slot that did not start must not be stored when the next one is counted.
ota_bare="yes"
if test -n "${bootargs}"; then
  ota_bare="no"
  ota_before="${bootargs}"
fi

# ---- The order: names that are known, each once. When none is left, all slots.
ota_changed="no"
ota_order="-"
for ota_name in ${BOOT_ORDER}; do
  ota_known="no"
  for ota_slot in ${ota_slots}; do
    if test "x${ota_slot}" = "x${ota_name}"; then ota_known="yes"; fi
  done
  for ota_slot in ${ota_order}; do
    if test "x${ota_slot}" = "x${ota_name}"; then ota_known="no"; fi
  done
  if test "${ota_known}" = "yes"; then
    if test "x${ota_order}" = "x-"; then ota_order="${ota_name}"; else ota_order="${ota_order} ${ota_name}"; fi
  fi
done
if test "x${ota_order}" = "x-"; then ota_order="${ota_slots}"; fi
if test "x${ota_order}" != "x${BOOT_ORDER}"; then
  echo "OTA: BOOT_ORDER was [${BOOT_ORDER}] and becomes [${ota_order}]"
  setenv BOOT_ORDER "${ota_order}"
  ota_changed="yes"
fi

# ---- The counters: one that is missing, no number or above ff is a full one. Also finds out whether any slot has some left.
for ota_name in ${ota_order}; do
  setenv ota_get "ota_left=\"x\${BOOT_${ota_name}_LEFT}\"; setexpr ota_calc \"\${BOOT_${ota_name}_LEFT}\" \"&\" ff"
  run ota_get
  if test "x${ota_calc}" != "${ota_left}"; then
    setenv BOOT_${ota_name}_LEFT "${ota_attempts}"
    ota_changed="yes"
  fi
done

# ---- The slots in their order, then the rescue system. What is counted is stored before anything of the slot is read.
ota_started="no"
for ota_slot in ${ota_order} ${ota_rescue}; do
  ota_usable="no"
  if test "${ota_started}" = "yes"; then
    true
  elif test "x${ota_slot}" = "x${ota_rescue}"; then
    if test "x${ota_slot}" != "x-"; then
      echo "OTA: no slot boots, starting the rescue system ${ota_slot}"
      ota_usable="yes"
    fi
  else
    setenv ota_get "ota_left=\"x\${BOOT_${ota_slot}_LEFT}\""
    run ota_get
    if test "${ota_left}" != "x0"; then
      setenv ota_get "setexpr BOOT_${ota_slot}_LEFT \"\${BOOT_${ota_slot}_LEFT}\" - 1; ota_left=\"\${BOOT_${ota_slot}_LEFT}\""
      run ota_get
      echo "OTA: booting slot ${ota_slot}, attempts left: 0x${ota_left}"
      ota_usable="yes"
      ota_changed="yes"
    fi
  fi
  if test "${ota_usable}" = "yes"; then
    setenv ota_get
    setenv ota_calc
    if test "${ota_changed}" = "yes"; then
      if test -n "${ota_save}"; then run ota_save; else saveenv; fi
      ota_changed="no"
    fi
    setenv ota_get "ota_part=\"\${ota_part_${ota_slot}}\"; ota_args=\"\${ota_args_${ota_slot}}\"; ota_own=\"x\${ota_boot_${ota_slot}}\""
    run ota_get
    setenv ota_get
    setenv bootargs "${ota_bootargs} ${ota_args} rauc.slot=${ota_slot} ota.slot=${ota_slot}"
    if test "${ota_own}" != "x"; then
      if run ota_boot_${ota_slot}; then ota_started="yes"; fi
    elif test -n "${ota_boot}"; then
      if run ota_boot; then ota_started="yes"; fi
    elif load ${ota_medium}:${ota_part} ${kernel_addr_r} ${ota_kernel}; then
      booti ${kernel_addr_r} - ${fdtcontroladdr}
    fi
    if test "${ota_started}" = "no"; then
      echo "OTA: ${ota_slot} did not start"
      if test "${ota_bare}" = "yes"; then setenv bootargs; else setenv bootargs "${ota_before}"; fi
    fi
  fi
done

# ---- Nothing started. Slots that have attempts left are tried again after a reset; if none has, all in the order get new ones.
if test "${ota_started}" = "no"; then
  ota_usable="no"
  for ota_slot in ${ota_order}; do
    setenv ota_get "ota_left=\"x\${BOOT_${ota_slot}_LEFT}\""
    run ota_get
    if test "${ota_left}" != "x0"; then ota_usable="yes"; fi
  done
  if test "${ota_usable}" = "no"; then
    echo "OTA: no slot has attempts left, all of [${ota_order}] get ${ota_attempts}"
    for ota_slot in ${ota_order}; do setenv BOOT_${ota_slot}_LEFT "${ota_attempts}"; done
    ota_changed="yes"
  fi
  setenv ota_get
  setenv ota_calc
  if test "${ota_changed}" = "yes"; then
    if test -n "${ota_save}"; then run ota_save; else saveenv; fi
  fi
  if test -n "${ota_reset}"; then run ota_reset; else reset; fi
fi
