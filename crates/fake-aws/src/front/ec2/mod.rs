//! What EC2 does and moto does not: client tokens, the states of NAT gateways,
//! deletes that are refused while something is in use, and the delay until
//! what was created is seen. Only where it decides whether a plan is right.

mod endpoints;
mod gateways;
mod guards;
mod visibility;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use guards::check;

use super::State;
use super::answer::{Answer, AwsError};
use super::form::Form;
use super::pipeline::Asked;
use gateways::Gateways;

/// What the front keeps about EC2.
#[derive(Debug, Default)]
pub(crate) struct Ec2 {
    gateways: Gateways,
    /// Held across a call, so that of two with one token the second waits.
    tokens: tokio::sync::Mutex<HashMap<Once, (Form, Answer)>>,
}

/// Region, action and client token of a create.
type Once = (String, String, String);

/// Answers a call to EC2.
pub(super) async fn answer(state: &Arc<State>, asked: &Asked) -> Result<Answer, AwsError> {
    visibility::check(state, &asked.form)?;
    let answer = match asked.form.get("ClientToken") {
        Some(token) => once(state, asked, token).await?,
        None => act(state, asked).await?,
    };
    Ok(visibility::hide(state, &asked.action, answer))
}

async fn act(state: &Arc<State>, asked: &Asked) -> Result<Answer, AwsError> {
    match asked.action.as_str() {
        "CreateNatGateway" => gateways::create(state, asked).await,
        "DescribeNatGateways" => gateways::describe(state, asked).await,
        "DeleteNatGateway" => gateways::delete(state, asked).await,
        "DeleteVpcEndpoints" => endpoints::delete(state, asked).await,
        _ => {
            check(&state.upstream, &asked.scope, &asked.form).await?;
            asked.forward(state).await
        }
    }
}

/// A create with a client token is done once; a repetition gets what the first
/// has made (EC2 Developer Guide, "Ensuring idempotency in Amazon EC2 API requests").
async fn once(state: &Arc<State>, asked: &Asked, token: &str) -> Result<Answer, AwsError> {
    let key = (
        asked.scope.region.clone(),
        asked.action.clone(),
        token.to_owned(),
    );
    let mut tokens = state.ec2.tokens.lock().await;
    if let Some((request, answer)) = tokens.get(&key) {
        if *request != asked.form {
            return Err(AwsError::new(
                400,
                "IdempotentParameterMismatch",
                format!("The client token {token} was used before with other parameters."),
            ));
        }
        return Ok(gateways::refresh(state, answer.clone()));
    }
    let answer = act(state, asked).await?;
    if answer.status.is_success() {
        tokens.insert(key, (asked.form.clone(), answer.clone()));
    }
    Ok(answer)
}
