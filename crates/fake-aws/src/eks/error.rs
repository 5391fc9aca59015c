//! EKS's errors (botocore `eks/2017-11-01/service-2.json`: names and statuses).

use crate::front::AwsError;

pub(super) fn invalid_parameter(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidParameterException", message)
}

pub(super) fn invalid_request(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidRequestException", message)
}

pub(super) fn in_use(message: impl Into<String>) -> AwsError {
    AwsError::new(409, "ResourceInUseException", message)
}

pub(super) fn not_found(message: impl Into<String>) -> AwsError {
    AwsError::new(404, "ResourceNotFoundException", message)
}

pub(super) fn no_cluster(name: &str) -> AwsError {
    not_found(format!("No cluster found for name: {name}."))
}
