//! What EKS asks IAM and STS: whether a principal is there, and who is calling.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::error::invalid_parameter;
use super::validate::no_role;
use crate::front::{AwsError, Form, Scope, Upstream};
use crate::xml;

/// IAM or STS, past the front: these calls are not the caller's.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) upstream: Upstream,
    pub(super) scope: Scope,
}

impl Service {
    async fn ask<const N: usize>(&self, form: [(&str, &str); N]) -> Result<String, AwsError> {
        self.upstream.query(&self.scope, &Form::new(form)).await
    }

    async fn role(&self, name: &str) -> Result<String, AwsError> {
        self.ask([
            ("Action", "GetRole"),
            ("Version", "2010-05-08"),
            ("RoleName", name),
        ])
        .await
    }
}

/// `role` and `name` of `arn:aws:iam::111122223333:role/some/path/name`.
pub(super) fn kind_and_name(arn: &str) -> (&str, &str) {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let kind = resource.split('/').next().unwrap_or_default();
    (kind, resource.rsplit('/').next().unwrap_or_default())
}

/// A role that exists under exactly this ARN and that `service` may assume.
pub(super) async fn require_role(iam: &Service, arn: &str, service: &str) -> Result<(), AwsError> {
    let (kind, name) = kind_and_name(arn);
    let found = if kind == "role" {
        iam.role(name).await.ok()
    } else {
        None
    };
    let trusted = found.is_some_and(|answer| {
        xml::text(&answer, "Arn").as_deref() == Some(arn)
            && xml::text(&answer, "AssumeRolePolicyDocument")
                .is_some_and(|document| trusts(&document, service))
    });
    if trusted { Ok(()) } else { Err(no_role(arn)) }
}

/// Whether a trust policy (URL-encoded JSON) lets a service assume the role.
fn trusts(document: &str, service: &str) -> bool {
    let document = percent_decode_str(document).decode_utf8_lossy();
    let Ok(policy) = serde_json::from_str::<Value>(&document) else {
        return false;
    };
    let many = |value: &Value| match value {
        Value::Array(list) => list.clone(),
        other => vec![other.clone()],
    };
    many(&policy["Statement"]).iter().any(|statement| {
        statement["Effect"] == "Allow"
            && many(&statement["Principal"]["Service"])
                .iter()
                .any(|it| it == service)
            && many(&statement["Action"])
                .iter()
                .any(|it| it == "sts:AssumeRole" || it == "sts:*")
    })
}

/// A user or role that an access entry can name. Those of other accounts are
/// not looked at, as at AWS.
pub(super) async fn require_principal(
    iam: &Service,
    arn: &str,
    account: &str,
) -> Result<(), AwsError> {
    let invalid = || {
        // terraform-aws-modules/terraform-aws-eks #2969
        Err(invalid_parameter(
            "The specified principalArn is invalid: invalid principal.",
        ))
    };
    if !arn.starts_with("arn:aws:iam::") {
        return invalid();
    }
    if arn.contains(":role/aws-service-role/") {
        // hashicorp/terraform-provider-aws #36447
        return Err(invalid_parameter(
            "The caller is not allowed to modify access entries with a principalArn value of a \
             Service Linked Role",
        ));
    }
    if arn.split(':').nth(4) != Some(account) {
        return Ok(());
    }
    let found = match kind_and_name(arn) {
        ("role", name) => iam.role(name).await,
        ("user", name) => {
            iam.ask([
                ("Action", "GetUser"),
                ("Version", "2010-05-08"),
                ("UserName", name),
            ])
            .await
        }
        _ => return invalid(),
    };
    match found.ok().and_then(|answer| xml::text(&answer, "Arn")) {
        Some(found) if found == arn => Ok(()),
        _ => invalid(),
    }
}

/// The identity behind the access key of the scope, as STS names it.
pub(super) async fn identity(sts: &Service) -> Result<String, AwsError> {
    let answer = sts
        .ask([("Action", "GetCallerIdentity"), ("Version", "2011-06-15")])
        .await?;
    xml::text(&answer, "Arn")
        .ok_or_else(|| AwsError::new(500, "ServerException", "no Arn in the caller identity"))
}

/// The IAM principal of an identity: for a session of a role, that role with
/// its path, which the session's ARN does not show.
pub(super) async fn principal(iam: &Service, identity: &str) -> String {
    let mut parts = identity.splitn(6, ':').skip(4);
    let (account, resource) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let Some(session) = resource.strip_prefix("assumed-role/") else {
        return identity.to_owned();
    };
    let name = session.split('/').next().unwrap_or_default();
    let found = iam
        .role(name)
        .await
        .ok()
        .and_then(|answer| xml::text(&answer, "Arn"));
    found.unwrap_or_else(|| format!("arn:aws:iam::{account}:role/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_taken_apart() {
        assert_eq!(
            kind_and_name("arn:aws:iam::1:role/a/b/name"),
            ("role", "name")
        );
        assert_eq!(kind_and_name("arn:aws:iam::1:user/name"), ("user", "name"));
        assert_eq!(kind_and_name("nothing"), ("", ""));
    }

    #[test]
    fn trust_is_read_from_the_policy() {
        let policy = r#"{"Statement": {"Effect": "Allow", "Principal": {"Service": ["eks.amazonaws.com"]},
            "Action": ["sts:AssumeRole", "sts:TagSession"]}}"#;
        assert!(trusts(policy, "eks.amazonaws.com"));
        assert!(!trusts(policy, "ec2.amazonaws.com"));
        assert!(!trusts(
            &policy.replace("Allow", "Deny"),
            "eks.amazonaws.com"
        ));
        assert!(!trusts("no json", "eks.amazonaws.com"));
    }
}
