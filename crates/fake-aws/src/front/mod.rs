//! The front: one HTTP address for `AWS_ENDPOINT_URL`. EKS is answered by the
//! emulator in this process, everything else by moto behind it; every call is
//! recorded, and faults are applied on the way.

mod answer;
mod caller;
mod control;
mod ec2;
mod form;
mod identify;
mod keys;
mod names;
mod pipeline;
mod s3;
mod upstream;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) use answer::{Answer, AwsError, uuid};
pub(crate) use ec2::check as ec2_check;
pub(crate) use form::Form;
pub(crate) use identify::Scope;
pub(crate) use keys::{Key, Keys};
pub(crate) use upstream::Upstream;

use crate::auto_mode::NodeRoleCheck;
use crate::eks::{ControlPlanes, Emulator};
pub(crate) use crate::faults::SharedSettings;
use crate::faults::{Faults, Settings};
use crate::record::{Call, Record};
use identify::Subject;
use names::Names;
use pipeline::Asked;

/// What a front is started with.
pub struct FrontConfig {
    /// The AWS account; the one that moto was started with.
    pub account: String,
    /// Region of requests whose signature names none.
    pub region: String,
    /// URL of moto.
    pub moto: String,
    /// Port on 127.0.0.1; 0 for a free one.
    pub port: u16,
    /// Latency, visibility delay and pace at the start.
    pub settings: Settings,
    /// Makes the Kubernetes control planes of created clusters.
    pub control_planes: Arc<dyn ControlPlanes>,
}

/// A front that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// moto's address is not a URL with a host.
    #[error("moto's address is wrong: {0}")]
    Moto(String),
    /// The port is taken or cannot be listened at.
    #[error("cannot listen on 127.0.0.1:{port}: {source}")]
    Listen {
        /// The port that was asked for.
        port: u16,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// moto did not make the IAM user.
    #[error("cannot make the IAM user {name}: {code}: {message}")]
    User {
        /// Name of the user.
        name: String,
        /// AWS's error code.
        code: String,
        /// The text with it.
        message: String,
    },
}

/// A running front. Dropping it closes the address.
pub struct Front {
    state: Arc<State>,
    stop: CancellationToken,
}

impl Front {
    /// Listens and serves on the current tokio runtime.
    pub async fn start(config: FrontConfig) -> Result<Self, FrontError> {
        let port = config.port;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|source| FrontError::Listen { port, source })?;
        let address = listener
            .local_addr()
            .map_err(|source| FrontError::Listen { port, source })?;
        let state = Arc::new(State::new(config, address)?);
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, state.clone(), stop.clone()));
        Ok(Self { state, stop })
    }

    /// The URL for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.state.address)
    }

    /// The URL that the API server of a cluster asks about tokens.
    pub fn token_webhook(&self, cluster: &str) -> String {
        self.state.eks.token_webhook(cluster)
    }

    /// Whether nodes with an IAM role may join a cluster, as its access entries
    /// are when it is asked.
    pub fn nodes_may_join(&self, cluster: &str) -> NodeRoleCheck {
        let (state, cluster) = (self.state.clone(), cluster.to_owned());
        Arc::new(move |role| state.eks.node_may_join(&cluster, role))
    }

    /// Makes an IAM user of that name, unless it is there, and an access key
    /// for it: (access key id, secret). Past the record.
    pub async fn create_user(&self, name: &str) -> Result<(String, String), FrontError> {
        self.state
            .create_user(name)
            .await
            .map_err(|error| FrontError::User {
                name: name.to_owned(),
                code: error.code,
                message: error.message,
            })
    }

    /// The record of calls.
    pub fn record(&self) -> &Record {
        &self.state.record
    }

    /// The faults.
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.state.settings()
    }

    /// Changes the settings from now on.
    pub fn set(&self, settings: Settings) {
        self.state.set(settings);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // Out of file descriptors: the next try may find some, a tight loop would not.
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (state, stop) = (state.clone(), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| pipeline::serve(state.clone(), peer, request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = stop.cancelled() => {}
                _ = connection => {}
            }
        });
    }
}

/// All that one front knows.
pub(crate) struct State {
    account: String,
    region: String,
    address: SocketAddr,
    upstream: Upstream,
    record: Record,
    faults: Faults,
    settings: Arc<SharedSettings>,
    names: Names,
    keys: Arc<Keys>,
    eks: Arc<Emulator>,
    ec2: ec2::Ec2,
}

impl State {
    fn new(config: FrontConfig, address: SocketAddr) -> Result<Self, FrontError> {
        let upstream = Upstream::new(&config.moto).map_err(FrontError::Moto)?;
        let settings = Arc::new(SharedSettings::new(config.settings));
        let keys = Arc::new(Keys::default());
        let eks = Arc::new(Emulator::new(
            config.account.clone(),
            upstream.clone(),
            settings.clone(),
            keys.clone(),
            config.control_planes,
            format!("http://{address}{}webhook/token/", control::PREFIX),
        ));
        Ok(Self {
            account: config.account,
            region: config.region,
            address,
            upstream,
            record: Record::default(),
            faults: Faults::default(),
            settings,
            names: Names::default(),
            keys,
            eks,
            ec2: ec2::Ec2::default(),
        })
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn settings(&self) -> Settings {
        self.settings.get()
    }

    fn set(&self, settings: Settings) {
        self.settings.set(settings);
    }

    /// The scope of calls of the front's own.
    fn own_scope(&self, service: &str) -> Scope {
        Scope {
            access_key: "trunkline-front".to_owned(),
            region: self.region.clone(),
            service: service.to_owned(),
        }
    }

    async fn create_user(&self, name: &str) -> Result<(String, String), AwsError> {
        let scope = self.own_scope("iam");
        let form = |action| {
            Form::new([
                ("Action", action),
                ("Version", "2010-05-08"),
                ("UserName", name),
            ])
        };
        match self.upstream.query(&scope, &form("CreateUser")).await {
            Err(error) if error.code != "EntityAlreadyExists" => return Err(error),
            _ => {}
        }
        let answer = self
            .upstream
            .query(&scope, &form("CreateAccessKey"))
            .await?;
        self.keys.learn("iam", "CreateAccessKey", &[], &answer);
        keys::credentials(&answer)
            .ok_or_else(|| AwsError::new(500, "InternalFailure", "no credentials in the answer"))
    }

    /// Does what a request asks for.
    async fn work(self: &Arc<Self>, asked: &Asked) -> Result<Answer, AwsError> {
        if asked.scope.service == "ec2" {
            return ec2::answer(self, asked).await;
        }
        if asked.scope.service == "eks" {
            let (path, query) = (asked.parts.uri.path(), asked.parts.uri.query());
            let query = query.unwrap_or_default();
            return self
                .eks
                .answer(&asked.scope, &asked.action, path, query, &asked.body)
                .await;
        }
        if asked.scope.service == "sts" && !asked.parts.headers.contains_key("authorization") {
            return self.presigned(asked).await;
        }
        asked.forward(self).await
    }

    /// A presigned call to STS, which moto would take for S3's.
    async fn presigned(&self, asked: &Asked) -> Result<Answer, AwsError> {
        let signed = |key: &str| key.to_ascii_lowercase().starts_with("x-amz-");
        let form = asked
            .form
            .0
            .iter()
            .filter(|(key, _)| !signed(key))
            .cloned()
            .collect();
        let answer = self.upstream.query(&asked.scope, &Form(form)).await?;
        let id = crate::xml::text(&answer, "RequestId").unwrap_or_else(answer::request_id);
        let mut answer = Answer::new(200, "text/xml", answer);
        answer.set("x-amzn-requestid", &id);
        Ok(answer)
    }

    /// Takes out of a successful answer what later calls need.
    fn learn(&self, call: &Call, subject: &mut Subject, body: &str) {
        self.keys
            .learn(&call.service, &call.action, &subject.ids, body);
        let made = names::created(&call.action, body);
        // The last is what the request is about, those before are what it sits in.
        let names = match subject.ids.last() {
            Some(own) if call.service != "ec2" => vec![own.clone()],
            _ => made,
        };
        if subject.address.is_some() || call.service == "ec2" {
            for id in &names {
                self.names.note(id, subject.address.as_deref());
            }
        }
        subject.ids.extend(
            names
                .into_iter()
                .filter(|id| !subject.ids.contains(id))
                .collect::<Vec<_>>(),
        );
    }
}
