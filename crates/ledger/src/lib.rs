//! Lease, intents, run journals and history in S3 by conditional writes.
