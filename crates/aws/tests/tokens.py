"""Makes tokens.json: presigned GetCallerIdentity URLs at a frozen clock.

Run with botocore installed: python3 tokens.py > tokens.json
The keys are the examples of AWS's documentation.
"""

import datetime
import json
from unittest import mock

import botocore.auth
import botocore.awsrequest
import botocore.credentials

NOW = datetime.datetime(2026, 11, 23, 8, 0, 0, tzinfo=datetime.timezone.utc)


def url(region, session_token):
    credentials = botocore.credentials.Credentials(
        "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", session_token
    )
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    request = botocore.awsrequest.AWSRequest(
        "GET",
        f"https://sts.{region}.{suffix}/",
        headers={"x-k8s-aws-id": "trunkline-sandbox"},
        params={"Action": "GetCallerIdentity", "Version": "2011-06-15"},
    )
    signer = botocore.auth.SigV4QueryAuth(credentials, "sts", region, expires=60)
    with mock.patch("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: NOW.replace(tzinfo=None) if remove_tzinfo else NOW):
        signer.add_auth(request)
    return {"region": region, "session_token": session_token, "url": request.prepare().url}


if __name__ == "__main__":
    vectors = [
        url("eu-central-1", None),
        url("eu-central-1", "IQoJb3JpZ2luX2VjE+/=session"),
        url("cn-north-1", None),
    ]
    print(json.dumps(vectors, indent=1))
