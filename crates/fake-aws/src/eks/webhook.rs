//! The token webhook of the control planes (authentication.k8s.io/v1
//! TokenReview): who a token is, and which groups their access entry gives.

use std::sync::Arc;

use serde_json::{Value, json};

use super::token::Token;
use super::{Emulator, access, iam};
use crate::front::Answer;

/// Someone who may talk to the API server.
struct User {
    name: String,
    uid: String,
    groups: Vec<String>,
    identity: String,
    principal: String,
}

impl Emulator {
    /// Answers a TokenReview about a cluster.
    pub(crate) async fn review_token(self: &Arc<Self>, cluster: &str, body: &[u8]) -> Answer {
        let review: Value = serde_json::from_slice(body).unwrap_or_default();
        let token = review["spec"]["token"].as_str().unwrap_or_default();
        let status = match self.authenticate(cluster, token).await {
            Ok(user) => json!({
                "authenticated": true,
                "user": {
                    "username": user.name,
                    "uid": user.uid,
                    "groups": user.groups,
                    "extra": {
                        "arn": [user.identity],
                        "canonicalArn": [user.principal],
                    },
                },
            }),
            Err(why) => {
                tracing::info!(cluster, "token refused: {why}");
                json!({"authenticated": false, "error": why})
            }
        };
        let version = review["apiVersion"]
            .as_str()
            .unwrap_or("authentication.k8s.io/v1");
        Answer::json(
            200,
            &json!({"apiVersion": version, "kind": "TokenReview", "status": status}),
        )
    }

    async fn authenticate(self: &Arc<Self>, cluster: &str, token: &str) -> Result<User, String> {
        let token = Token::parse(token, jiff::Timestamp::now())?;
        let scope = token.scope();
        let key = self
            .keys
            .get(&scope.access_key)
            .ok_or("the access key is not known")?;
        if !token.is_signed_by(&key, cluster) {
            return Err("the signature does not match".to_owned());
        }
        let identity = iam::identity(&self.sts(scope))
            .await
            .map_err(|error| error.message)?;
        let principal = iam::principal(&self.iam(scope), &identity).await;
        let clusters = self.lock();
        let entry = clusters
            .get(cluster)
            .filter(|cluster| cluster.fields["accessConfig"]["authenticationMode"] != "CONFIG_MAP")
            .and_then(|cluster| cluster.entries.get(&principal))
            .ok_or_else(|| format!("{principal} has no access entry"))?;
        let session = identity.rsplit('/').next().unwrap_or_default();
        Ok(User {
            name: entry.username.replace("{{SessionName}}", session),
            uid: format!("aws-iam-authenticator:{}:{principal}", self.account),
            groups: access::kubernetes_groups(entry),
            identity,
            principal,
        })
    }
}
