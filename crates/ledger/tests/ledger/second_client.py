# A client for S3 that shares no code with ours. Each line of the input is
# {"bucket": name, "lines": Python}; what the lines assign to `answer` is
# answered as a line of JSON.
import json
import sys
import traceback

import boto3

s3 = boto3.client(
    "s3",
    endpoint_url=sys.argv[1],
    region_name="eu-central-1",
    aws_access_key_id="second",
    aws_secret_access_key="client",
)

for line in sys.stdin:
    asked = json.loads(line)
    bucket = asked["bucket"]
    names = {
        "json": json,
        "s3": s3,
        "bucket": bucket,
        "text": lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode(),
        "keys": lambda: [o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])],
        "answer": None,
    }
    try:
        exec(asked["lines"], names)
        print(json.dumps({"answer": names["answer"]}, default=str), flush=True)
    except Exception:
        print(json.dumps({"error": traceback.format_exc()}), flush=True)
