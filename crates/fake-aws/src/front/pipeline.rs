//! The way of one request: identify, apply a fault or do the work, record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::answer::{Answer, AwsError, Body, error_code, request_id_of};
use super::form::Form;
use super::identify::{Scope, Subject, action, app, mutating, streams};
use super::{State, caller, control, s3};
use crate::faults::{Effect, Matched};
use crate::record::Call;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer is withheld")]
pub(crate) struct AnswerDropped;

/// A request as far as it is read: `None` for a body that streams through.
pub(crate) struct Asked {
    pub(crate) parts: Parts,
    pub(crate) scope: Scope,
    pub(crate) action: String,
    pub(crate) form: Form,
    pub(crate) body: Bytes,
}

/// Serves one request; an error closes the connection.
pub(crate) async fn serve(
    state: Arc<State>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, AnswerDropped> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if path.starts_with(control::PREFIX) {
        let body = read(body).await?;
        let query = parts.uri.query().unwrap_or_default();
        let answer = control::answer(&state, &parts.method, path, query, &body).await;
        return Ok(answer.into_response());
    }
    if path.starts_with("/moto-api/") {
        let body = read(body).await?;
        let answer = state.upstream.exchange(parts, body).await;
        return Ok(answer
            .unwrap_or_else(|e| Answer::error("", &e))
            .into_response());
    }
    // A task of its own: a caller that goes away does not stop work that AWS
    // would have done all the same.
    let work = tokio::spawn(async move { call(&state, peer, parts, body).await });
    work.await.map_err(|_| AnswerDropped)?
}

async fn read(body: Incoming) -> Result<Bytes, AnswerDropped> {
    Ok(body.collect().await.map_err(|_| AnswerDropped)?.to_bytes())
}

async fn call(
    state: &Arc<State>,
    peer: SocketAddr,
    parts: Parts,
    body: Incoming,
) -> Result<Response<Body>, AnswerDropped> {
    let (n, at, started) = (
        state.record.number(),
        jiff::Timestamp::now(),
        Instant::now(),
    );
    let scope = Scope::of(&parts).unwrap_or_else(|| Scope {
        access_key: String::new(),
        region: state.region.clone(),
        service: "s3".to_owned(),
    });
    let (bytes, stream) = if streams(&scope.service, &parts) {
        (Bytes::new(), Some(body.boxed()))
    } else {
        (read(body).await?, None)
    };
    let form = form(&parts, &bytes);
    let action = action(&scope.service, &parts, &form);
    let subject = Subject::of(&scope.service, &parts, &form, &bytes);
    let app = app(&parts);
    let mutating = mutating(&action);
    let effect = state.faults.take(Matched {
        service: &scope.service,
        action: &action,
        mutating,
        app: app.as_deref(),
        about: &subject.names(),
    });
    let mut entry = Call {
        n,
        at,
        service: scope.service.clone(),
        region: scope.region.clone(),
        resource: None,
        ids: Vec::new(),
        mutating,
        status: 0,
        error_code: None,
        request_id: None,
        duration_ms: 0.0,
        pid: None,
        access_key: (!scope.access_key.is_empty()).then(|| scope.access_key.clone()),
        app,
        fault: effect.as_ref().map(|effect| effect.name().to_owned()),
        action: action.clone(),
    };
    let asked = Asked {
        parts,
        scope,
        action,
        form,
        body: bytes,
    };
    let response = answer(state, &asked, stream, effect.as_ref()).await;
    finish(state, &mut entry, subject, &response, started);
    let Some(effect) = effect else {
        state.record.push(entry);
        return Ok(response.into_response());
    };
    entry.pid = if effect.kills() {
        caller(state, peer).await
    } else {
        None
    };
    let pid = entry.pid;
    // Before the kill: who waits for the caller's end reads the record next.
    state.record.push(entry);
    if let Some(pid) = pid {
        caller::kill(pid);
    }
    if effect.drops() {
        Err(AnswerDropped)
    } else {
        Ok(response.into_response())
    }
}

/// The process at the other end. A walk through /proc, so only where it matters.
async fn caller(state: &State, peer: SocketAddr) -> Option<u32> {
    let local = state.address();
    tokio::task::spawn_blocking(move || caller::pid(peer, local))
        .await
        .ok()
        .flatten()
}

/// The parameters of a query protocol: in the body, or in the query of a GET.
fn form(parts: &Parts, body: &Bytes) -> Form {
    let content_type = parts
        .headers
        .get("content-type")
        .and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Form::parse(body);
    }
    match parts.uri.query() {
        Some(query) if query.contains("Action=") => Form::parse(query.as_bytes()),
        _ => Form::default(),
    }
}

/// An answer on its way out.
enum Outgoing {
    Whole(Answer),
    Streamed(Box<Response<Incoming>>),
}

impl Outgoing {
    fn head(&self) -> (StatusCode, &HeaderMap) {
        match self {
            Self::Whole(answer) => (answer.status, &answer.headers),
            Self::Streamed(response) => (response.status(), response.headers()),
        }
    }

    fn body(&self) -> &[u8] {
        match self {
            Self::Whole(answer) => &answer.body,
            Self::Streamed(_) => &[],
        }
    }

    fn into_response(self) -> Response<Body> {
        match self {
            Self::Whole(answer) => answer.into_response(),
            Self::Streamed(response) => response.map(BodyExt::boxed),
        }
    }
}

async fn answer(
    state: &Arc<State>,
    asked: &Asked,
    stream: Option<Body>,
    effect: Option<&Effect>,
) -> Outgoing {
    let service = asked.scope.service.as_str();
    let mut delay = state.settings().latency_ms;
    match effect {
        Some(Effect::Fail {
            status,
            code,
            message,
        }) => {
            return Outgoing::Whole(Answer::error(
                service,
                &AwsError::new(*status, code, message),
            ));
        }
        Some(Effect::Throttle) => {
            return Outgoing::Whole(Answer::error(service, &AwsError::throttled(service)));
        }
        Some(Effect::Latency { ms }) => delay += ms,
        _ => {}
    }
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let worked = match stream {
        Some(body) => through(state, asked, body).await,
        None => state.work(asked).await.map(Outgoing::Whole),
    };
    worked.unwrap_or_else(|error| Outgoing::Whole(Answer::error(service, &error)))
}

/// S3: bodies are not held, but for errors, whose code is recorded.
async fn through(state: &State, asked: &Asked, body: Body) -> Result<Outgoing, AwsError> {
    let response = state.upstream.forward(asked.parts.clone(), body).await?;
    if response.status().is_success() && !s3::is_corrected(&asked.action) {
        return Ok(Outgoing::Streamed(Box::new(response)));
    }
    let (mut head, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let body = s3::corrected(&asked.action, body);
    head.headers.remove("content-length");
    Ok(Outgoing::Whole(Answer {
        status: head.status,
        headers: head.headers,
        body,
    }))
}

fn finish(
    state: &State,
    entry: &mut Call,
    mut subject: Subject,
    response: &Outgoing,
    started: Instant,
) {
    let (status, headers) = response.head();
    entry.status = status.as_u16();
    entry.error_code = error_code(status, headers, response.body());
    entry.request_id = request_id_of(headers);
    entry.duration_ms = started.elapsed().as_secs_f64() * 1000.0;
    if status.is_success() {
        let body = std::str::from_utf8(response.body()).unwrap_or_default();
        state.learn(entry, &mut subject, body);
    }
    entry.resource = subject
        .address
        .or_else(|| state.names.address_of(&subject.ids))
        .or_else(|| subject.ids.last().cloned());
    entry.ids = subject.ids;
}

impl Asked {
    /// Passes the request on as it is.
    pub(crate) async fn forward(&self, state: &State) -> Result<Answer, AwsError> {
        state
            .upstream
            .exchange(self.parts.clone(), self.body.clone())
            .await
    }

    /// Passes the request on with other parameters.
    pub(crate) async fn forward_with(
        &self,
        state: &State,
        form: &Form,
    ) -> Result<Answer, AwsError> {
        let mut parts = self.parts.clone();
        parts.headers.remove("content-length");
        state.upstream.exchange(parts, form.encode().into()).await
    }
}
