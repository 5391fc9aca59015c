//! EKS's operations by method and path (botocore `eks/2017-11-01/service-2.json`).

use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

/// Method, path pattern (`*` stands for one segment), operation.
type Row = (&'static str, &'static [&'static str], &'static str);

#[rustfmt::skip]
const ROUTES: [Row; 21] = [
    ("POST", &["clusters"], "CreateCluster"),
    ("GET", &["clusters"], "ListClusters"),
    ("GET", &["clusters", "*"], "DescribeCluster"),
    ("DELETE", &["clusters", "*"], "DeleteCluster"),
    ("POST", &["clusters", "*", "update-config"], "UpdateClusterConfig"),
    ("GET", &["clusters", "*", "updates"], "ListUpdates"),
    ("GET", &["clusters", "*", "updates", "*"], "DescribeUpdate"),
    ("GET", &["cluster-versions"], "DescribeClusterVersions"),
    ("POST", &["clusters", "*", "access-entries"], "CreateAccessEntry"),
    ("GET", &["clusters", "*", "access-entries"], "ListAccessEntries"),
    ("GET", &["clusters", "*", "access-entries", "*"], "DescribeAccessEntry"),
    ("POST", &["clusters", "*", "access-entries", "*"], "UpdateAccessEntry"),
    ("DELETE", &["clusters", "*", "access-entries", "*"], "DeleteAccessEntry"),
    ("POST", &["clusters", "*", "access-entries", "*", "access-policies"], "AssociateAccessPolicy"),
    ("GET", &["clusters", "*", "access-entries", "*", "access-policies"], "ListAssociatedAccessPolicies"),
    ("DELETE", &["clusters", "*", "access-entries", "*", "access-policies", "*"], "DisassociateAccessPolicy"),
    ("GET", &["access-policies"], "ListAccessPolicies"),
    ("POST", &["tags", "*"], "TagResource"),
    ("DELETE", &["tags", "*"], "UntagResource"),
    ("GET", &["tags", "*"], "ListTagsForResource"),
    ("POST", &["clusters", "*", "updates"], "UpdateClusterVersion"),
];

/// The operation of a request.
pub(crate) fn operation(method: &Method, path: &str) -> Option<&'static str> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let fits = |pattern: &[&str]| {
        pattern.len() == segments.len()
            && pattern
                .iter()
                .zip(&segments)
                .all(|(wanted, is)| *wanted == "*" || wanted == is)
    };
    let mut rows = ROUTES.iter();
    rows.find(|(verb, pattern, _)| verb == method && fits(pattern))
        .map(|(_, _, name)| *name)
}

/// The decoded path parameters: every second segment (`/clusters/NAME/access-entries/ARN`).
pub(crate) fn parameters(path: &str) -> Vec<String> {
    let segments = path.trim_matches('/').split('/').skip(1).step_by(2);
    segments
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}

/// What a request is about: the names in its path, and in the body of a create.
pub(crate) fn subjects(parts: &Parts, body: &[u8]) -> Vec<String> {
    let mut names = parameters(parts.uri.path());
    if let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) {
        let created = ["name", "principalArn", "policyArn"]
            .iter()
            .filter_map(|key| body.get(key));
        names.extend(created.filter_map(|name| name.as_str()).map(str::to_owned));
    }
    // `tl/arn:…` instead of the bare parts: an id of its own for what sits in a cluster.
    (1..names.len()).for_each(|end| names[end] = format!("{}/{}", names[end - 1], names[end]));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_operations_with_decoded_parameters() {
        let entry = "/clusters/tl/access-entries/arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx%2Fy";
        assert_eq!(operation(&Method::GET, entry), Some("DescribeAccessEntry"));
        assert_eq!(parameters(entry), ["tl", "arn:aws:iam::1:role/x/y"]);
        assert_eq!(operation(&Method::GET, "/clusters/"), Some("ListClusters"));
        assert_eq!(operation(&Method::PUT, "/clusters"), None);
        assert_eq!(operation(&Method::GET, "/clusters/a/b"), None);
    }

    #[test]
    fn subjects_nest() {
        let request = http::Request::builder()
            .uri("/clusters/tl/access-entries")
            .body(())
            .unwrap();
        let body = br#"{"principalArn": "arn:1"}"#;
        assert_eq!(subjects(&request.into_parts().0, body), ["tl", "tl/arn:1"]);
    }
}
