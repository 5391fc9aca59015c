//! A layer of one's own in the sandbox pipeline: a bucket for artifacts that
//! says in a tag which VPC its readers live in.
//!
//! Run it as `trunkline deploy` is run, with the environment's file:
//! `cargo run --example extra_layer -- environments/sandbox.toml plan|deploy|destroy`
//!
//! It shows the whole contract of a layer: references to other layers, bulk
//! observation with three values, a pure plan, a create that may be repeated,
//! and where its deletes belong in the order of the others'.

use std::sync::Arc;

use anyhow::{Context, bail};
use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    types::{BucketLocationConstraint, CreateBucketConfiguration, Tag, Tagging},
};
use serde::{Deserialize, Serialize};
use trunkline_aws::{Aws, address_of, failure};
use trunkline_engine::{
    Applying, Draft, Failure, FailureKind, Layer, Observed, Observing, Seen, Step, Verb, Wish,
};
use trunkline_ids::{Address, BucketName, Kind, Outputs, Ref, VpcId};
use trunkline_pipeline::{Connection, Environment, Pipeline, RepositoryUrl, Settings, Stop};

/// The wish: one bucket, and whose VPC it names.
struct Artifacts {
    aws: Arc<Aws>,
    bucket: BucketName,
    vpc: Ref<VpcId>,
}

/// One way to change the bucket. Written into plans, so it is serde.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Create,
    Delete,
}

impl Artifacts {
    fn address(&self) -> Address {
        Address::new("artifacts", "bucket", "main")
    }

    fn s3(&self) -> Client {
        let path_style = self.aws.sdk().endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(self.aws.sdk());
        Client::from_conf(config.force_path_style(path_style).build())
    }

    /// Whose the bucket is: its tags, or nothing if it is not there.
    async fn tags(&self) -> Result<Option<Vec<Tag>>, Failure> {
        let asked = self
            .s3()
            .get_bucket_tagging()
            .bucket(self.bucket.as_str())
            .send()
            .await;
        match asked.map_err(|error| failure("S3", "GetBucketTagging", &error)) {
            Ok(answer) => Ok(Some(answer.tag_set)),
            Err(failure) if failure.cause.code == "NoSuchTagSet" => Ok(Some(Vec::new())),
            Err(failure) if failure.kind == FailureKind::Gone => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn create(&self, cx: &Applying) -> Result<(), Failure> {
        let vpc = cx.get(&self.vpc)?;
        let place = CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(self.aws.region().as_str()))
            .build();
        let create = self.s3().create_bucket().bucket(self.bucket.as_str());
        let made = create.create_bucket_configuration(place).send().await;
        match made.map_err(|error| failure("S3", "CreateBucket", &error)) {
            // The name is the bucket's identity: a repeated create changes nothing.
            Err(refused) if refused.cause.code != "BucketAlreadyOwnedByYou" => return Err(refused),
            _ => {}
        }
        let mut tags = self.aws.marks(&self.address());
        tags.push(("vpc".to_owned(), vpc.to_string()));
        let tags: Result<Vec<Tag>, _> = tags
            .into_iter()
            .map(|(k, v)| Tag::builder().key(k).value(v).build())
            .collect();
        let bug = |error: aws_sdk_s3::error::BuildError| Failure::bug(error.to_string());
        let tagging = Tagging::builder()
            .set_tag_set(Some(tags.map_err(bug)?))
            .build();
        let put = self.s3().put_bucket_tagging().bucket(self.bucket.as_str());
        let put = put.tagging(tagging.map_err(bug)?).send().await;
        put.map(|_| ())
            .map_err(|error| failure("S3", "PutBucketTagging", &error))
    }

    async fn delete(&self) -> Result<(), Failure> {
        let deleted = self
            .s3()
            .delete_bucket()
            .bucket(self.bucket.as_str())
            .send()
            .await;
        match deleted.map_err(|error| failure("S3", "DeleteBucket", &error)) {
            Err(refused) if refused.kind != FailureKind::Gone => Err(refused),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Layer for Artifacts {
    type Observation = Observed<bool>;
    type Action = Action;

    fn name(&self) -> &'static str {
        "artifacts"
    }

    fn api_actions(&self) -> &'static [&'static str] {
        &[
            "s3:GetBucketTagging",
            "s3:CreateBucket",
            "s3:PutBucketTagging",
            "s3:DeleteBucket",
        ]
    }

    /// Present holds whether the bucket is ours.
    async fn observe(&self, _: &Observing) -> Observed<bool> {
        match self.tags().await {
            Err(failure) => Observed::Unknown(failure.to_string()),
            Ok(None) => Observed::Absent,
            Ok(Some(tags)) => {
                let tags = tags.iter().map(|tag| (tag.key(), tag.value()));
                Observed::one(address_of(tags, self.aws.environment()) == Some(self.address()))
            }
        }
    }

    fn seen(&self, observation: &Observed<bool>) -> Seen {
        let presence = [(self.address(), observation.presence())].into();
        Seen {
            presence,
            ..Seen::default()
        }
    }

    fn plan(&self, wish: Wish, observation: &Observed<bool>) -> Draft<Action> {
        let mut draft = Draft::default();
        let step = |verb, action| Step::new(verb, self.address(), "s3", action);
        match (wish, observation) {
            (_, Observed::Unknown(why)) => draft.unknown.push((self.address(), why.clone())),
            (_, Observed::Present { value: false, .. }) => {
                draft
                    .foreign
                    .push(format!("bucket {} is not ours", self.bucket));
            }
            (Wish::Deployed, Observed::Absent) => draft.steps.push(
                step(Verb::Create, Action::Create)
                    .about(self.bucket.as_str())
                    .after([self.vpc.address().clone()]),
            ),
            (Wish::Destroyed { .. }, Observed::Present { .. }) => {
                draft.steps.push(step(Verb::Delete, Action::Delete));
            }
            _ => {}
        }
        draft
    }

    async fn apply(&self, action: Action, cx: &Applying) -> Result<Outputs, Failure> {
        match action {
            Action::Create => self.create(cx).await?,
            Action::Delete => self.delete().await?,
        }
        Ok(Outputs::new().with(&self.address(), &self.bucket))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, command] = arguments.as_slice() else {
        bail!("usage: extra_layer FILE plan|deploy|destroy");
    };
    let text = std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?;
    let mut environment = Environment::parse(file, &text)?;
    if let Ok(repository) = std::env::var("TRUNKLINE_REPOSITORY") {
        environment = environment.with_repository(RepositoryUrl::parse(&repository)?);
    }
    let bucket = environment.bucket_name("artifacts");
    let connection = Connection::open(environment).await?;
    connection.bootstrap().await?;

    let helm = std::env::var_os("TRUNKLINE_HELM").unwrap_or_else(|| "helm".into());
    let mut settings = Settings::new(helm, std::env::temp_dir().join("trunkline-charts")).await?;
    if let Ok(charts) = std::env::var("TRUNKLINE_CHARTS") {
        settings = settings.with_charts(trunkline_pipeline::ChartSource::parse(&charts));
    }
    if let Ok(commit) = std::env::var("TRUNKLINE_REVISION") {
        settings = settings.at_commit(&commit);
    }
    let aws = Arc::clone(connection.aws());
    let pipeline = Pipeline::new(connection, settings)?;
    let vpc = pipeline.references().vpc.clone();
    // The bucket names the VPC, so it goes before it.
    let order = [(Kind::new("artifacts", "bucket"), vpc.address().kind())];
    let pipeline = pipeline.with_layer(Artifacts { aws, bucket, vpc }, order);

    let wish = match command.as_str() {
        "plan" | "deploy" => Wish::Deployed,
        "destroy" => Wish::Destroyed { with_data: false },
        other => bail!("`{other}` is none of plan, deploy, destroy"),
    };
    let planned = pipeline.plan(wish).await?;
    for step in &planned.plan.steps {
        println!("{} {}", step.verb, step.address);
    }
    if command == "plan" {
        return Ok(());
    }
    let run = pipeline.run(&planned, "example", &Stop::new()).await?;
    for (i, failure, _) in run.report.failures() {
        eprintln!("{} failed: {failure}", run.plan.steps[i].address);
    }
    anyhow::ensure!(
        run.report.is_done(),
        "not everything was done; run it again"
    );
    println!("done");
    Ok(())
}
