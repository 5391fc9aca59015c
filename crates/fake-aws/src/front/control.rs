//! The control API under `/_trunkline/`: record, faults, settings, health and
//! the token webhook of the control planes. Its own calls are never recorded.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;

use super::State;
use super::answer::Answer;
use super::form::Form;
use crate::faults::{Fault, Settings};

/// Where the control API lives; no AWS path begins like this.
pub(crate) const PREFIX: &str = "/_trunkline/";

/// Answers one request to the control API.
pub(crate) async fn answer(
    state: &Arc<State>,
    method: &Method,
    path: &str,
    query: &str,
    body: &Bytes,
) -> Answer {
    let query = Form::parse(query.as_bytes());
    let path = path.trim_start_matches(PREFIX);
    if let Some(cluster) = path.strip_prefix("webhook/token/")
        && *method == Method::POST
    {
        return state.eks.review_token(cluster, body).await;
    }
    match (method.as_str(), path) {
        ("GET", "health") => Answer::json(
            200,
            &serde_json::json!({
                "account": state.account, "region": state.region, "moto": state.upstream.url(),
            }),
        ),
        ("GET", "record") => {
            let since = query
                .get("since")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            Answer::json(200, &state.record.since(since))
        }
        ("DELETE", "record") => {
            state.record.clear();
            no_content()
        }
        ("GET", "faults") => Answer::json(200, &state.faults.list()),
        ("PUT", "faults") => with_body::<Vec<Fault>>(body, |faults| state.faults.replace(faults)),
        ("POST", "faults") => with_body::<Vec<Fault>>(body, |faults| {
            faults.into_iter().for_each(|fault| state.faults.add(fault));
        }),
        ("DELETE", "faults") => {
            match query.get("app") {
                Some(app) => state.faults.remove_of(app),
                None => state.faults.replace(Vec::new()),
            }
            no_content()
        }
        ("GET", "settings") => Answer::json(200, &state.settings()),
        ("PUT", "settings") => with_body::<Settings>(body, |settings| state.set(settings)),
        _ => Answer::json(
            404,
            &serde_json::json!({"message": format!("no {method} {path} here")}),
        ),
    }
}

fn with_body<T: DeserializeOwned>(body: &Bytes, act: impl FnOnce(T)) -> Answer {
    match serde_json::from_slice(body) {
        Ok(value) => {
            act(value);
            no_content()
        }
        Err(error) => Answer::json(400, &serde_json::json!({"message": error.to_string()})),
    }
}

fn no_content() -> Answer {
    Answer::new(204, "application/json", Bytes::new())
}
