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

import threading  # noqa: E402

import xmltodict  # noqa: E402
from moto.iam.access_control import IAMPolicyStatement, PermissionResult  # noqa: E402
from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.responses import S3Response  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402


# What moto gets wrong of S3 where our plans and leases rest on it.


def over_tls(judge):
    """A statement about requests without TLS says nothing of ours: the front's
    plain HTTP stands for TLS. moto knows no condition `Bool`, and would deny
    every request."""

    def is_action_permitted(self, *arguments, **named):
        conditions = self._statement.get("Condition") or {}
        if conditions.get("Bool", {}).get("aws:SecureTransport") in ("false", False):
            return PermissionResult.NEUTRAL
        return judge(self, *arguments, **named)

    return is_action_permitted


def one_after_the_other(respond):
    """Conditional writes are atomic; moto looks, and writes later."""
    writing = threading.RLock()

    def _key_response(self, request, full_url):
        if request.method in ("PUT", "DELETE"):
            with writing:
                return respond(self, request, full_url)
        return respond(self, request, full_url)

    return _key_response


def with_tags(put):
    """CreateBucket takes tags; moto leaves them out."""

    def _bucket_response_put(self, request, bucket_name, querystring):
        answer = put(self, request, bucket_name, querystring)
        if self.body and not querystring:
            configuration = xmltodict.parse(self.body, force_list=("Tag",))
            tags = (configuration.get("CreateBucketConfiguration") or {}).get("Tags") or {}
            tags = {tag["Key"]: tag["Value"] for tag in tags.get("Tag", [])}
            if tags:
                self.backend.put_bucket_tagging(bucket_name, tags)
        return answer

    return _bucket_response_put


IAMPolicyStatement.is_action_permitted = over_tls(IAMPolicyStatement.is_action_permitted)
S3Response._key_response = one_after_the_other(S3Response._key_response)
S3Response._bucket_response_put = with_tags(S3Response._bucket_response_put)


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
