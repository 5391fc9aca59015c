//! Who acts: from the ARN that STS tells to the principal of an access entry.
//! Pure.

use crate::error::NotAPrincipal;

/// The principal of an access entry for whoever STS says we are
/// (`GetCallerIdentity`): a session of a role becomes the role, a user stays.
///
/// The ARN of a session does not tell the path of its role: a role that has
/// one (those of IAM Identity Center do) must be asked for by its name, which
/// [`role_of_session`] gives.
///
/// # Errors
/// The account's root and federated users: EKS takes neither (Amazon EKS user
/// guide, "Create access entries").
pub fn principal_of(caller: &str) -> Result<String, NotAPrincipal> {
    let wrong = |why| NotAPrincipal {
        arn: caller.to_owned(),
        why,
    };
    let Some((partition, service, account, resource)) = parts(caller) else {
        return Err(wrong("it is no ARN of an IAM identity"));
    };
    match (service, resource.split_once('/')) {
        ("iam", Some(("role" | "user", name))) if !name.is_empty() => Ok(caller.to_owned()),
        ("sts", Some(("assumed-role", _))) => match role_of_session(caller) {
            Some(role) => Ok(format!("arn:{partition}:iam::{account}:role/{role}")),
            None => Err(wrong("it names no role")),
        },
        ("sts", Some(("federated-user", _))) => Err(wrong("it is a federated user; act as a role")),
        ("iam", None) if resource == "root" => {
            Err(wrong("it is the account's root user; act as a role"))
        }
        _ => Err(wrong("it is neither a role nor a user")),
    }
}

/// The name of the role that a session is of; none for anything else.
#[must_use]
pub fn role_of_session(caller: &str) -> Option<&str> {
    let (_, "sts", _, resource) = parts(caller)? else {
        return None;
    };
    let mut session = resource.strip_prefix("assumed-role/")?.split('/');
    session.next().filter(|role| !role.is_empty())
}

/// A name that fits an address: `role-ops` for
/// `arn:aws:iam::111122223333:role/team/Ops`.
pub(crate) fn short_name(principal: &str) -> String {
    let resource = parts(principal).map_or(principal, |(_, _, _, resource)| resource);
    let kind = resource.split('/').next().unwrap_or_default();
    let name = resource.rsplit('/').next().unwrap_or_default();
    let fitting = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '-') => c,
        _ => '-',
    };
    format!("{kind}-{name}").chars().map(fitting).collect()
}

/// Partition, service, account and resource of an ARN without region.
fn parts(arn: &str) -> Option<(&str, &str, &str, &str)> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, resource] = parts.as_slice() else {
        return None;
    };
    let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    digits.then_some((partition, service, account, resource))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_session_becomes_its_role() {
        let session = "arn:aws:sts::111122223333:assumed-role/Deploy/ci@runner-7";
        let role = "arn:aws:iam::111122223333:role/Deploy";
        assert_eq!(principal_of(session).as_deref(), Ok(role));
        assert_eq!(role_of_session(session), Some("Deploy"));
    }

    #[test]
    fn roles_and_users_stay() {
        for arn in [
            "arn:aws:iam::111122223333:user/trunkline-local",
            "arn:aws-us-gov:iam::111122223333:role/team/Ops",
        ] {
            assert_eq!(principal_of(arn).as_deref(), Ok(arn));
            assert_eq!(role_of_session(arn), None);
        }
    }

    #[test]
    fn what_eks_does_not_take_is_refused() {
        for arn in [
            "arn:aws:iam::111122223333:root",
            "arn:aws:sts::111122223333:federated-user/bob",
            "arn:aws:iam::111122223333:group/admins",
            "arn:aws:sts::111122223333:assumed-role/",
            "arn:aws:iam::1111:role/x",
            "",
        ] {
            assert!(principal_of(arn).is_err(), "{arn}");
        }
    }

    #[test]
    fn names_fit_addresses() {
        let name = |arn| short_name(arn);
        assert_eq!(name("arn:aws:iam::111122223333:role/team/Ops"), "role-ops");
        assert_eq!(
            name("arn:aws:iam::111122223333:user/a+b@c_d"),
            "user-a-b-c-d"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in "\\PC{0,60}") {
            if let Ok(principal) = principal_of(&text) {
                prop_assert!(principal.contains(":iam::"));
                let address = format!("cluster/access-entry/{}", short_name(&principal));
                prop_assert!(address.parse::<trunkline_ids::Address>().is_ok());
            }
        }
    }
}
