//! The ledger against an emulated S3, looked at by a second client (boto3,
//! straight at moto) and through the record of the front.

#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking, too

mod bucket;
mod intents;
mod journal;
mod lease;
mod lost_answers;
mod support;
