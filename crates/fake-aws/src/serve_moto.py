# Serves moto on a free port of 127.0.0.1 and prints the port.
#
# moto_server itself wants a port chosen beforehand (a race between stacks)
# and leaves Nagle's algorithm on, which costs 40 ms on a kept-alive connection.
import ctypes
import logging
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent ended before moto started")

from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server  # noqa: E402


class Handler(MotoRequestHandler):
    disable_nagle_algorithm = True
    wbufsize = -1


logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server(
    "127.0.0.1",
    0,
    DomainDispatcherApplication(create_backend_app),
    threaded=True,
    request_handler=Handler,
)
os.environ["MOTO_PORT"] = str(server.port)
print(server.port, flush=True)
server.serve_forever()
