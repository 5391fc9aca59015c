//! NAT gateways: pending → available, deleting → deleted, failed without an
//! internet gateway. moto has them available at once and keeps their address
//! and network interface in use for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use roxmltree::{Document, Node};

use super::super::State;
use super::super::answer::{Answer, AwsError};
use super::super::form::Form;
use super::super::identify::Scope;
use super::super::pipeline::Asked;
use crate::xml;

/// A place in a text and what stands there instead.
type Edit = (std::ops::Range<usize>, String);

const VERSION: &str = "2016-11-15";
/// Published: 1.5 to 2 minutes.
const CREATE_TIME: Duration = Duration::from_secs(105);
/// Inferred: about a minute.
const DELETE_TIME: Duration = Duration::from_secs(60);

/// The gateways made through this front, by id.
#[derive(Debug, Default)]
pub(super) struct Gateways(Mutex<HashMap<String, Gateway>>);

#[derive(Debug, Clone)]
struct Gateway {
    available_from: Instant,
    failed: Option<Failed>,
    deletion: Option<Deletion>,
}

/// Why a gateway fails: with the codes and texts of the API model, NatGateway.
#[derive(Debug, Clone)]
enum Failed {
    /// Its address belongs to something else.
    AlreadyAssociated { allocation: String },
    /// There is no way to the internet from its network.
    NotAttached { vpc: String },
}

impl Failed {
    fn xml(&self) -> String {
        let (code, message) = match self {
            Self::AlreadyAssociated { allocation } => (
                "Resource.AlreadyAssociated",
                format!("Elastic IP address [{allocation}] is already associated"),
            ),
            Self::NotAttached { vpc } => (
                "Gateway.NotAttached",
                format!("Network {vpc} has no Internet gateway attached"),
            ),
        };
        format!("<failureCode>{code}</failureCode><failureMessage>{message}</failureMessage>")
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Deletion {
    Running,
    Done,
}

impl Gateway {
    fn state(&self) -> &'static str {
        match (self.deletion, &self.failed) {
            (Some(Deletion::Running), _) => "deleting",
            (Some(Deletion::Done), _) => "deleted",
            (None, _) if Instant::now() < self.available_from => "pending",
            (None, Some(_)) => "failed",
            (None, None) => "available",
        }
    }
}

impl Gateways {
    fn with<T>(&self, id: &str, work: impl FnOnce(&mut Gateway) -> T) -> Option<T> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(id)
            .map(work)
    }

    fn insert(&self, id: String, gateway: Gateway) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, gateway);
    }
}

/// CreateNatGateway. What is wrong with it shows in the state of the gateway,
/// not in the answer (hashicorp/terraform#13836).
pub(super) async fn create(state: &Arc<State>, asked: &Asked) -> Result<Answer, AwsError> {
    let taken = taken_address(state, asked).await?;
    let answer = match &taken {
        None => asked.forward(state).await?,
        // moto refuses an address that is in use; a private gateway has none.
        Some(_) => asked.forward_with(state, &private(&asked.form)).await?,
    };
    let Some(id) = xml::text(answer.text(), "natGatewayId").filter(|_| answer.status.is_success())
    else {
        return Ok(answer);
    };
    let failed = match taken {
        Some(allocation) => Some(Failed::AlreadyAssociated { allocation }),
        None => not_attached(state, asked, &answer).await?,
    };
    if failed.is_some() {
        release(state, &asked.scope, &id).await;
    }
    let gateway = Gateway {
        available_from: Instant::now() + state.settings().pace.of(CREATE_TIME),
        failed,
        deletion: None,
    };
    state.ec2.gateways.insert(id, gateway);
    // The answer to the create says pending, however fast it then goes.
    Ok(rewrite(answer, |_, node| state_edit(node, "pending", "")))
}

/// The address that is asked for, if something uses it.
async fn taken_address(state: &State, asked: &Asked) -> Result<Option<String>, AwsError> {
    let Some(id) = asked.form.get("AllocationId") else {
        return Ok(None);
    };
    let form = Form::new([
        ("Action", "DescribeAddresses"),
        ("Version", VERSION),
        ("AllocationId.1", id),
    ]);
    let addresses = state.upstream.query(&asked.scope, &form).await?;
    let taken = xml::text(&addresses, "associationId").is_some();
    Ok(taken.then(|| id.to_owned()))
}

fn private(form: &Form) -> Form {
    let kept = form.0.iter().filter(|(key, _)| key != "AllocationId");
    let kind = ("ConnectivityType".to_owned(), "private".to_owned());
    Form(kept.cloned().chain([kind]).collect())
}

async fn not_attached(
    state: &State,
    asked: &Asked,
    answer: &Answer,
) -> Result<Option<Failed>, AwsError> {
    let vpc = xml::text(answer.text(), "vpcId").unwrap_or_default();
    let private = asked.form.get("ConnectivityType") == Some("private");
    let connected = private || has_internet_gateway(state, &asked.scope, &vpc).await?;
    Ok((!connected).then_some(Failed::NotAttached { vpc }))
}

async fn has_internet_gateway(state: &State, scope: &Scope, vpc: &str) -> Result<bool, AwsError> {
    let form = Form::new([
        ("Action", "DescribeInternetGateways"),
        ("Version", VERSION),
        ("Filter.1.Name", "attachment.vpc-id"),
        ("Filter.1.Value.1", vpc),
    ]);
    let answer = state.upstream.query(scope, &form).await?;
    Ok(xml::text(&answer, "internetGatewayId").is_some())
}

/// DescribeNatGateways. moto knows neither our states nor filters by tag, so
/// these are applied here.
pub(super) async fn describe(state: &Arc<State>, asked: &Asked) -> Result<Answer, AwsError> {
    let plain = asked.form.without_filter("state");
    let answer = rewritten(state, asked.forward_with(state, &plain).await?);
    if !answer.status.is_success() {
        return Ok(answer);
    }
    let text = answer.text().to_owned();
    let Ok(document) = Document::parse(&text) else {
        return Ok(answer);
    };
    let found: Vec<Node> = xml::items(&document).collect();
    let there = |id: &&str| {
        found
            .iter()
            .any(|item| xml::child(*item, "natGatewayId") == Some(id))
    };
    if let Some(missing) = asked.form.list("NatGatewayId").iter().find(|id| !there(id)) {
        return Err(not_found(missing));
    }
    Ok(rewrite(answer, |_, item| {
        (!matches(&asked.form, item)).then(|| (item.range(), String::new()))
    }))
}

fn not_found(id: &str) -> AwsError {
    AwsError::new(
        400,
        "NatGatewayNotFound",
        format!("NatGateway {id} was not found"),
    )
}

/// Whether an entry fits the filters that moto does not apply.
fn matches(form: &Form, item: Node) -> bool {
    let state = xml::child(item, "state").unwrap_or_default();
    if form
        .filter("state")
        .is_some_and(|wanted| !wanted.contains(&state))
    {
        return false;
    }
    let tags: Vec<(&str, &str)> = item
        .children()
        .filter(|child| child.tag_name().name() == "tagSet")
        .flat_map(|set| set.children())
        .filter_map(|tag| {
            Some((
                xml::child(tag, "key")?,
                xml::child(tag, "value").unwrap_or_default(),
            ))
        })
        .collect();
    form.filters()
        .all(|(name, wanted)| match name.strip_prefix("tag:") {
            Some(key) => tags
                .iter()
                .any(|(is, value)| *is == key && wanted.contains(value)),
            None if name == "tag-key" => tags.iter().any(|(is, _)| wanted.contains(is)),
            None => true,
        })
}

/// DeleteNatGateway.
pub(super) async fn delete(state: &Arc<State>, asked: &Asked) -> Result<Answer, AwsError> {
    let id = asked
        .form
        .get("NatGatewayId")
        .unwrap_or_default()
        .to_owned();
    match state.ec2.gateways.with(&id, |gateway| gateway.deletion) {
        None | Some(Some(Deletion::Done)) => return Err(not_found(&id)),
        Some(Some(Deletion::Running)) => {}
        Some(None) => {
            state
                .ec2
                .gateways
                .with(&id, |gateway| gateway.deletion = Some(Deletion::Running));
            let time = state.settings().pace.of(DELETE_TIME);
            let (state, scope, id) = (state.clone(), asked.scope.clone(), id);
            let work = async move {
                tokio::time::sleep(time).await;
                release(&state, &scope, &id).await;
                state
                    .ec2
                    .gateways
                    .with(&id, |gateway| gateway.deletion = Some(Deletion::Done));
            };
            if time.is_zero() {
                work.await
            } else {
                drop(tokio::spawn(work))
            }
        }
    }
    asked.forward(state).await
}

/// Frees the address of a gateway and removes its network interface.
async fn release(state: &State, scope: &Scope, id: &str) {
    let form = Form::new([
        ("Action", "DescribeNatGateways"),
        ("Version", VERSION),
        ("NatGatewayId.1", id),
    ]);
    let Ok(answer) = state.upstream.query(scope, &form).await else {
        return;
    };
    let steps = [
        ("DisassociateAddress", "AssociationId", "associationId"),
        (
            "DeleteNetworkInterface",
            "NetworkInterfaceId",
            "networkInterfaceId",
        ),
    ];
    for (action, key, element) in steps {
        let Some(value) = xml::text(&answer, element) else {
            continue;
        };
        let form = Form::new([("Action", action), ("Version", VERSION), (key, &value)]);
        if let Err(error) = state.upstream.query(scope, &form).await {
            tracing::warn!(id, action, code = error.code, "{}", error.message);
        }
    }
}

/// An earlier answer with the states of now.
pub(super) fn refresh(state: &State, answer: Answer) -> Answer {
    rewritten(state, answer)
}

/// The answer with our states in it.
fn rewritten(state: &State, answer: Answer) -> Answer {
    rewrite(answer, |id, node| {
        let seen = state
            .ec2
            .gateways
            .with(id, |gateway| (gateway.state(), gateway.failed.clone()));
        match seen {
            None => None,
            Some(("failed", Some(why))) => state_edit(node, "failed", &why.xml()),
            Some((name, _)) => state_edit(node, name, ""),
        }
    })
}

/// Another state for an entry, and what follows it.
fn state_edit(node: Node, name: &str, more: &str) -> Option<Edit> {
    let element = node
        .children()
        .find(|child| child.tag_name().name() == "state")?;
    Some((element.range(), format!("<state>{name}</state>{more}")))
}

/// Edits every gateway in an answer: what has a `natGatewayId` as its child.
fn rewrite(mut answer: Answer, edit: impl Fn(&str, Node) -> Option<Edit>) -> Answer {
    let text = answer.text().to_owned();
    let Ok(document) = Document::parse(&text) else {
        return answer;
    };
    let gateways = document.descendants().filter_map(|node| {
        (node != document.root_element()).then_some(())?;
        Some((node, xml::child(node, "natGatewayId")?))
    });
    let edits: Vec<_> = gateways.filter_map(|(node, id)| edit(id, node)).collect();
    if !edits.is_empty() {
        answer.replace_body(xml::splice(&text, edits));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "<R><natGatewaySet><item><natGatewayId>nat-1</natGatewayId><state>available\
        </state><tagSet><item><key>k</key><value>v</value></item></tagSet></item></natGatewaySet></R>";

    #[test]
    fn filters_that_moto_ignores_are_applied() {
        let document = Document::parse(LIST).unwrap();
        let item = xml::items(&document).next().unwrap();
        let fits = |filter: &str| matches(&Form::parse(filter.as_bytes()), item);
        assert!(fits("Filter.1.Name=state&Filter.1.Value.1=available"));
        assert!(!fits("Filter.1.Name=state&Filter.1.Value.1=pending"));
        assert!(fits("Filter.1.Name=tag:k&Filter.1.Value.1=v"));
        assert!(!fits("Filter.1.Name=tag:k&Filter.1.Value.1=w"));
        assert!(fits("Filter.1.Name=tag-key&Filter.1.Value.1=k"));
        assert!(!fits("Filter.1.Name=tag-key&Filter.1.Value.1=v"));
    }

    #[test]
    fn a_state_is_replaced_where_it_stands() {
        let answer = rewrite(Answer::new(200, "text/xml", LIST), |id, node| {
            assert_eq!(id, "nat-1");
            state_edit(node, "deleting", "")
        });
        assert_eq!(answer.text(), LIST.replace("available", "deleting"));
    }
}
