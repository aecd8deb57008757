"""The monitor of QEMU, as far as it does not need QEMU."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

from boot.lab.qmp import Qmp


def test_a_monitor_that_does_not_listen_yet_is_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "qmp"))

        def monitor() -> None:
            time.sleep(0.2)
            server.listen()
            client, _ = server.accept()
            with client:
                client.sendall(b'{"QMP": {}}\n')
                assert b"qmp_capabilities" in client.recv(4096)
                client.sendall(b'{"return": {}}\n')

        thread = threading.Thread(target=monitor)
        thread.start()
        try:
            Qmp(tmp_path / "qmp").close()
        finally:
            thread.join()
