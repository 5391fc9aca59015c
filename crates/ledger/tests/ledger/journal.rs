//! Journals and history: what is heard is kept, once and in order; killed
//! runs are told from those that end.

use std::time::Duration;

use serde_json::json;
use trunkline_engine::{Events, Happening, Verb};
use trunkline_ids::Address;
use trunkline_ledger::{Journal, Ledger, RunOutcome, RunStart};
use ulid::Ulid;

use crate::support::{boto3, claim, ledger, s3, s3_alone, until};

fn start(environment: &str) -> RunStart {
    RunStart {
        run: Ulid::generate(),
        environment: environment.to_owned(),
        command: "deploy".to_owned(),
        holder: "alice@laptop".to_owned(),
        version: "0.0.0".to_owned(),
    }
}

async fn begin(ledger: &Ledger, environment: &str) -> (Journal, Events) {
    let journal = ledger.journal(start(environment)).await.unwrap();
    let events = Events::to(vec![journal.listener()]);
    (journal, events)
}

fn done(name: &str) -> Happening {
    Happening::Done {
        address: Address::new("net", "vpc", name),
        verb: Verb::Create,
        took: Duration::from_millis(1500),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_is_read_again() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "journal").await;
    let (journal, events) = begin(&ledger, "journal").await;
    let run = journal.run();
    for name in ["a", "b", "c"] {
        events.tell(done(name));
    }
    events.note("a remark");
    let summary = journal
        .finish(RunOutcome::Done, Some("up".to_owned()))
        .await
        .unwrap();
    assert_eq!(summary.steps.done, 3);

    let lines = boto3(
        s3,
        "journal",
        "parts = sorted(k for k in keys() if k.endswith('.jsonl'))
answer = [json.loads(l) for k in parts for l in text(k).splitlines()]",
    );
    let lines = lines.as_array().unwrap();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["event"], "done");
    assert_eq!(lines[0]["address"], "net/vpc/a");
    assert_eq!(lines[3]["text"], "a remark");
    let stored = boto3(
        s3,
        "journal",
        &format!("answer = json.loads(text('runs/{run}/summary.json'))"),
    );
    assert_eq!(stored["outcome"], "done");
    assert_eq!(stored["holder"], "alice@laptop");

    let record = ledger.run(run).await.unwrap().unwrap();
    assert_eq!(record.summary, summary);
    assert_eq!(record.unreadable, 0);
    let told: Vec<&Happening> = record.events.iter().map(|event| &event.what).collect();
    assert_eq!(told[..3], [&done("a"), &done("b"), &done("c")]);
    assert_eq!(ledger.run(Ulid::generate()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn much_is_written_before_the_end_and_in_order() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "much").await;
    let (journal, events) = begin(&ledger, "much").await;
    for number in 0..3000 {
        events.note(format!("{number:05} {}", "x".repeat(50)));
    }
    until("a part before the end", || async {
        let keys = boto3(
            s3,
            "much",
            "answer = [k for k in keys() if k.endswith('.jsonl')]",
        );
        (!keys.as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    for number in 3000..3100 {
        events.note(format!("{number:05}"));
    }
    let run = journal.run();
    journal.finish(RunOutcome::Done, None).await.unwrap();
    let record = ledger.run(run).await.unwrap().unwrap();
    assert_eq!(record.events.len(), 3100);
    for (number, event) in record.events.iter().enumerate() {
        let Happening::Note { text } = &event.what else {
            panic!("{event:?}");
        };
        assert!(text.starts_with(&format!("{number:05}")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_newest_first_and_killed_ones_told() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "history").await;
    assert_eq!(ledger.runs(10).await.unwrap(), []);
    let mut runs = Vec::new();
    for outcome in [RunOutcome::Failed, RunOutcome::Stopped] {
        let (journal, _) = begin(&ledger, "history").await;
        runs.push((journal.run(), outcome));
        journal.finish(outcome, None).await.unwrap();
        // Runs are named by milliseconds.
        until("the next millisecond", || async {
            (Ulid::generate().timestamp_ms() > runs.last()?.0.timestamp_ms()).then_some(())
        })
        .await;
    }
    // One is dropped as a kill would drop it, one goes on under the lease.
    let (killed, _) = begin(&ledger, "history").await;
    runs.push((killed.run(), RunOutcome::Vanished));
    drop(killed);
    until("the next millisecond", || async {
        (Ulid::generate().timestamp_ms() > runs.last()?.0.timestamp_ms()).then_some(())
    })
    .await;
    let (running, _) = begin(&ledger, "history").await;
    runs.push((running.run(), RunOutcome::Running));
    let mut claim = claim("history", "alice@laptop");
    claim.run = running.run();
    let _lease = ledger.acquire(&claim).await.unwrap();

    runs.reverse();
    let listed: Vec<(Ulid, RunOutcome)> = ledger
        .runs(10)
        .await
        .unwrap()
        .iter()
        .map(|run| (run.run, run.outcome))
        .collect();
    assert_eq!(listed, runs);
    assert_eq!(ledger.runs(2).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_lines_are_counted_not_hidden() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "damaged").await;
    let (journal, events) = begin(&ledger, "damaged").await;
    events.tell(done("a"));
    let run = journal.run();
    journal.finish(RunOutcome::Done, None).await.unwrap();
    boto3(
        s3,
        "damaged",
        &format!(
            "s3.put_object(Bucket=bucket, Key='runs/{run}/000002.jsonl', Body=b'{{}}\\nx\\n')"
        ),
    );
    let record = ledger.run(run).await.unwrap().unwrap();
    assert_eq!((record.events.len(), record.unreadable), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_that_fails_for_a_while_loses_nothing_and_doubles_nothing() {
    let (s3, _turn) = s3_alone().await;
    let ledger = ledger(s3, "outage").await;
    let effects = [
        json!({"type": "drop_answer"}),
        json!({"type": "fail", "status": 503, "code": "ServiceUnavailable"}),
    ];
    for effect in effects {
        let (journal, events) = begin(&ledger, "outage").await;
        // More often than one request is tried.
        s3.fault(json!({"service": "s3", "action": "PutObject", "times": 5, "do": effect}));
        let faults = || {
            let calls = crate::support::calls(s3, "outage");
            calls.iter().filter(|call| call.fault.is_some()).count()
        };
        let before = faults();
        for name in ["a", "b"] {
            events.tell(done(name));
        }
        until("the outage", || async {
            (faults() >= before + 3).then_some(())
        })
        .await;
        events.tell(done("c"));
        until("its end", || async {
            (faults() >= before + 5).then_some(())
        })
        .await;
        let run = journal.run();
        journal.finish(RunOutcome::Done, None).await.unwrap();
        let record = ledger.run(run).await.unwrap().unwrap();
        let told: Vec<&Happening> = record.events.iter().map(|event| &event.what).collect();
        assert_eq!(told, [&done("a"), &done("b"), &done("c")]);
    }
}
