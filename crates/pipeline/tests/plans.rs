//! Plans of whole environments against an emulated AWS, before any cluster
//! exists.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use std::path::Path;

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use trunkline_engine::FailureKind;
use trunkline_fake_aws::testing::TestAws;
use trunkline_pipeline::{
    ChartSource, Connection, Environment, Pipeline, PipelineError, Plan, Settings, Stop, Verb, Wish,
};
use trunkline_tools::Tool;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

async fn connection(aws: &TestAws, name: &str) -> Result<Connection, PipelineError> {
    let file = format!("{name}.toml");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../environments")
        .join(&file);
    let mut text = std::fs::read_to_string(path).unwrap();
    if name == "live" {
        text = text.replace("public_access = []", "public_access = [\"192.0.2.0/24\"]");
    }
    let environment = Environment::parse(&file, &text).unwrap();
    let (key, secret) = aws.credentials();
    let sdk = trunkline_aws_sdk(
        environment.region().as_str(),
        &aws.endpoint(),
        &key,
        &secret,
    )
    .await;
    Connection::with_sdk(environment, sdk).await
}

async fn trunkline_aws_sdk(
    region: &str,
    endpoint: &str,
    key: &str,
    secret: &str,
) -> aws_config::SdkConfig {
    let region = trunkline_ids::Region::new(region);
    let credentials = Credentials::new(key, secret, None, None, "test");
    let sdk = trunkline_aws::load(&region).await.to_builder();
    sdk.endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

async fn pipeline(aws: &TestAws, name: &str) -> Pipeline {
    let helm = trunkline_tools::lookup(Tool::Helm).expect("helm: run `cargo xtask tools`");
    let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../local/charts");
    let settings = Settings::new(helm.path, "/nowhere")
        .await
        .unwrap()
        .with_charts(ChartSource::Folder(charts))
        .at_commit(COMMIT);
    Pipeline::new(connection(aws, name).await.unwrap(), settings).unwrap()
}

/// One line a step: what it is and what it waits for.
fn lines(plan: &Plan) -> Vec<String> {
    let line = |i: usize| {
        let step = &plan.steps[i];
        let waits: Vec<&str> = plan.waits_for[i]
            .iter()
            .map(|b| plan.steps[*b].address.as_str())
            .collect();
        format!("{} {} ← {}", step.verb, step.address, waits.join(", "))
    };
    let mut all: Vec<String> = (0..plan.steps.len()).map(line).collect();
    all.sort();
    all
}

#[tokio::test]
async fn an_environment_is_planned_before_anything_exists() {
    let aws = TestAws::shared().await;
    for name in ["sandbox", "live"] {
        let planned = pipeline(aws, name)
            .await
            .plan(Wish::Deployed)
            .await
            .unwrap();
        assert_eq!(planned.plan.unknown, []);
        insta::assert_snapshot!(name, lines(&planned.plan).join("\n"));
        let release = planned
            .plan
            .steps
            .iter()
            .find(|s| s.address.kind().words() == "release");
        let previewed = release.unwrap().changes.len();
        assert!(
            previewed > 20,
            "the chart's objects are previewed: {previewed}"
        );
    }
    let wrote: Vec<_> = aws
        .record()
        .into_iter()
        .filter(|call| call.mutating)
        .collect();
    assert!(wrote.is_empty(), "a plan changes nothing: {wrote:?}");
}

/// Contract 9: deletes are ordered by a table of kinds, and every create edge
/// reversed is in it.
#[tokio::test]
async fn what_is_made_after_something_is_deleted_before_it() {
    let pipeline = pipeline(TestAws::shared().await, "live").await;
    let planned = pipeline.plan(Wish::Deployed).await.unwrap();
    let (plan, order) = (planned.plan, pipeline.order());
    assert!(order.circles().is_empty(), "{:?}", order.circles());
    let mut edges = 0;
    for (i, step) in plan.steps.iter().enumerate() {
        for before in plan.waits_for[i].iter().map(|before| &plan.steps[*before]) {
            let (made, first) = (step.address.kind(), before.address.kind());
            edges += 1;
            assert!(
                order.is_before(&made, &first),
                "{made} is made after {first}, so goes before"
            );
        }
    }
    assert!(edges > 40, "{edges}");
}

#[tokio::test]
async fn credentials_of_another_account_change_nothing() {
    let aws = TestAws::start_with(
        "999988887777",
        std::sync::Arc::new(trunkline_fake_aws::eks::NoControlPlane),
    )
    .await;
    let refused = connection(&aws, "sandbox").await.err().unwrap();
    let PipelineError::WrongAccount { pinned, actual, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(
        (pinned.as_str(), actual.as_str()),
        ("111122223333", "999988887777")
    );
}

/// A read that failed is never read as "absent".
#[tokio::test]
async fn what_cannot_be_read_is_not_planned_and_refuses_a_run() {
    let aws = TestAws::start().await;
    let pipeline = pipeline(&aws, "sandbox").await;
    aws.fault(serde_json::json!({
        "service": "eks", "action": "DescribeCluster", "times": 1000,
        "do": {"type": "fail", "status": 403, "code": "AccessDeniedException", "message": "no"},
    }));
    let planned = pipeline.plan(Wish::Deployed).await.unwrap();
    let unknown = planned.plan.unknown.iter();
    let unknown: Vec<&str> = unknown.map(|(address, _)| address.layer()).collect();
    assert!(
        unknown.contains(&"cluster") && unknown.contains(&"workloads"),
        "{unknown:?}"
    );
    let touched = planned
        .plan
        .steps
        .iter()
        .any(|step| ["cluster", "addons", "workloads"].contains(&step.address.layer()));
    assert!(!touched, "nothing is planned for what is unknown");
    let refused = pipeline
        .run(&planned, "test", &Stop::new())
        .await
        .unwrap_err();
    assert!(matches!(refused, PipelineError::Unknown(_)), "{refused}");
    assert!(aws.record().iter().all(|call| !call.mutating));

    let gone = pipeline
        .plan(Wish::Destroyed { with_data: true })
        .await
        .unwrap();
    assert_eq!(gone.plan.count(Verb::Delete), 0);
}

#[tokio::test]
async fn without_a_ledger_nothing_is_changed() {
    let aws = TestAws::start().await;
    let pipeline = pipeline(&aws, "sandbox").await;
    let planned = pipeline.plan(Wish::Deployed).await.unwrap();
    let refused = pipeline
        .run(&planned, "test", &Stop::new())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, PipelineError::NotBootstrapped { .. }),
        "{refused}"
    );
    let wrote: Vec<_> = aws
        .record()
        .into_iter()
        .filter(|c| c.mutating && c.error_code.is_none())
        .collect();
    assert!(wrote.is_empty(), "{wrote:?}");
}

#[tokio::test]
async fn no_helm_is_said() {
    let refused = Settings::new("/nowhere/helm", "/nowhere")
        .await
        .unwrap_err();
    assert_eq!(refused.kind, FailureKind::Invalid);
    assert!(refused.to_string().contains("/nowhere/helm"), "{refused}");
}
