//! What the token webhook's groups may do. Access policies of EKS are not RBAC:
//! the emulator turns each policy that is associated with an identity into a
//! group, and these bindings give the group the like-named rights.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client, Error};

const GROUP: &str = "rbac.authorization.k8s.io";

/// The policies that grant what a default role grants
/// (docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html).
const POLICIES: [(&str, &str); 4] = [
    ("AmazonEKSClusterAdminPolicy", "cluster-admin"),
    ("AmazonEKSAdminPolicy", "admin"),
    ("AmazonEKSEditPolicy", "edit"),
    ("AmazonEKSViewPolicy", "view"),
];

/// Binds the groups of access policies with cluster scope.
pub(super) async fn bind(client: &Client) -> Result<()> {
    let api: Api<ClusterRoleBinding> = Api::all(client.clone());
    let bindings = POLICIES.map(binding);
    try_join_all(bindings.iter().map(|binding| create(&api, binding)))
        .await
        .map(drop)
        .context("the roles of access policies cannot be bound")
}

async fn create(api: &Api<ClusterRoleBinding>, binding: &ClusterRoleBinding) -> kube::Result<()> {
    match api.create(&PostParams::default(), binding).await {
        Err(Error::Api(status)) if status.code == 409 => Ok(()),
        answer => answer.map(drop),
    }
}

fn binding((policy, role): (&str, &str)) -> ClusterRoleBinding {
    let group = format!("eks-access-policy:{policy}");
    ClusterRoleBinding {
        metadata: ObjectMeta {
            name: Some(group.clone()),
            ..ObjectMeta::default()
        },
        role_ref: RoleRef {
            api_group: GROUP.to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(vec![Subject {
            api_group: Some(GROUP.to_owned()),
            kind: "Group".to_owned(),
            name: group,
            namespace: None,
        }]),
    }
}
