"""Servers in threads of the test process, stopped when the test is over."""

import threading
from collections.abc import Generator
from contextlib import closing, contextmanager

from pingyao.platform.asgi import Handler, listen, make_server


@contextmanager
def serving(handler: Handler, port: int = 0) -> Generator[str]:
    """Serves on loopback for the time of a block; gives the address."""
    server = make_server(handler)
    with closing(listen("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()
