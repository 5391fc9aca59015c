//! Gateway endpoints: moto makes their routes with the endpoint only, not when
//! a route table is added later, and then fails to delete the endpoint because
//! of the route that is missing (`InvalidRoute.NotFound`, with the endpoint
//! left as it is).

use std::sync::Arc;

use roxmltree::{Document, Node};

use super::super::State;
use super::super::answer::{Answer, AwsError};
use super::super::form::Form;
use super::super::pipeline::Asked;
use crate::xml;

const VERSION: &str = "2016-11-15";

/// Deletes endpoints, off the route tables that moto has no route of theirs in.
pub(super) async fn delete(state: &Arc<State>, asked: &Asked) -> Result<Answer, AwsError> {
    for endpoint in asked.form.list("VpcEndpointId") {
        let tables = without_route(state, asked, endpoint).await?;
        if tables.is_empty() {
            continue;
        }
        let mut form = Form::new([
            ("Action", "ModifyVpcEndpoint"),
            ("Version", VERSION),
            ("VpcEndpointId", endpoint),
        ]);
        for (n, table) in tables.into_iter().enumerate() {
            let key = format!("RemoveRouteTableId.{}", n + 1);
            form.0.push((key, table));
        }
        state.upstream.query(&asked.scope, &form).await?;
    }
    asked.forward(state).await
}

/// The route tables of an endpoint in which moto has no route to it, or which
/// are gone.
async fn without_route(
    state: &Arc<State>,
    asked: &Asked,
    endpoint: &str,
) -> Result<Vec<String>, AwsError> {
    let ask = |action| Form::new([("Action", action), ("Version", VERSION)]);
    let form = ask("DescribeVpcEndpoints");
    let endpoints = state.upstream.query(&asked.scope, &form).await?;
    let form = ask("DescribeRouteTables");
    let tables = state.upstream.query(&asked.scope, &form).await?;
    let (endpoints, tables) = (parsed(&endpoints)?, parsed(&tables)?);
    let routed: Vec<&str> = named(&tables, "gatewayId")
        .filter(|node| node.text() == Some(endpoint))
        .filter_map(|node| {
            let mut above = node.ancestors();
            above.find_map(|above| xml::child(above, "routeTableId"))
        })
        .collect();
    let own = named(&endpoints, "vpcEndpointId").filter(|node| node.text() == Some(endpoint));
    let attached = own
        .filter_map(|node| node.parent())
        .flat_map(|item| {
            item.children()
                .filter(|c| c.tag_name().name() == "routeTableIdSet")
        })
        .flat_map(|set| set.children().filter_map(|item| item.text()));
    Ok(attached
        .filter(|table| table.starts_with("rtb-") && !routed.contains(table))
        .map(str::to_owned)
        .collect())
}

fn parsed(text: &str) -> Result<Document<'_>, AwsError> {
    Document::parse(text).map_err(|error| AwsError::new(500, "InternalError", error.to_string()))
}

fn named<'a, 'input>(
    document: &'a Document<'input>,
    name: &'a str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    let is_it = move |node: &Node<'_, '_>| node.tag_name().name() == name;
    document.descendants().filter(is_it)
}
