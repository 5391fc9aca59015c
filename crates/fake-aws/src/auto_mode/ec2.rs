//! The few EC2 calls of the stand-in, straight at the backend: they are what
//! Auto Mode does by itself, so they must not count as calls of the tool.

use std::collections::BTreeMap;

use roxmltree::Document;

use super::types::SelectorTerm;
use super::{AutoModeConfig, Error};
use crate::front::{Form, Scope, Upstream};
use crate::xml;

/// A client of the emulated EC2.
#[derive(Debug, Clone)]
pub(super) struct Ec2 {
    backend: Upstream,
    scope: Scope,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subnet {
    pub id: String,
    pub zone: String,
    pub zone_id: String,
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub id: String,
    pub name: String,
}

/// A volume to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewVolume {
    pub zone: String,
    pub gibibytes: i64,
    /// `VolumeType`, `Iops`, `Throughput`, `Encrypted`, `KmsKeyId`.
    pub parameters: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}

impl Ec2 {
    /// A client for the cluster's account and region.
    pub(super) fn new(config: &AutoModeConfig) -> Result<Self, Error> {
        let backend = Upstream::new(&config.ec2_endpoint).map_err(Error::Endpoint)?;
        let scope = Scope {
            access_key: "AKIAAUTOMODE".into(),
            region: config.region.clone(),
            service: "ec2".into(),
        };
        Ok(Self { backend, scope })
    }

    /// The subnets that any of the terms selects.
    pub(super) async fn subnets(&self, terms: &[SelectorTerm]) -> Result<Vec<Subnet>, Error> {
        let mut found: BTreeMap<String, Subnet> = BTreeMap::new();
        for term in terms {
            let filters = filters(term, "subnet-id", None);
            for item in self.describe("DescribeSubnets", &filters).await? {
                let subnet = Subnet {
                    id: text(&item, "subnetId"),
                    zone: text(&item, "availabilityZone"),
                    zone_id: text(&item, "availabilityZoneId"),
                };
                found.insert(subnet.id.clone(), subnet);
            }
        }
        Ok(found.into_values().collect())
    }

    /// The security groups that any of the terms selects.
    pub(super) async fn groups(&self, terms: &[SelectorTerm]) -> Result<Vec<Group>, Error> {
        let mut found: BTreeMap<String, Group> = BTreeMap::new();
        for term in terms {
            let filters = filters(term, "group-id", Some("group-name"));
            for item in self.describe("DescribeSecurityGroups", &filters).await? {
                let group = Group {
                    id: text(&item, "groupId"),
                    name: text(&item, "groupName"),
                };
                found.insert(group.id.clone(), group);
            }
        }
        Ok(found.into_values().collect())
    }

    /// The volume that was made under that name before, if any.
    pub(super) async fn volume_named(&self, name: &str) -> Result<Option<String>, Error> {
        let filters = [("tag:CSIVolumeName".to_owned(), name.to_owned())];
        let found = self.describe("DescribeVolumes", &filters).await?;
        Ok(found.first().map(|item| text(item, "volumeId")))
    }

    /// Creates a volume; its id.
    pub(super) async fn create_volume(&self, volume: &NewVolume) -> Result<String, Error> {
        let mut form = vec![
            ("AvailabilityZone".to_owned(), volume.zone.clone()),
            ("Size".to_owned(), volume.gibibytes.to_string()),
            (
                "TagSpecification.1.ResourceType".to_owned(),
                "volume".to_owned(),
            ),
        ];
        form.extend(volume.parameters.clone());
        for (n, (key, value)) in volume.tags.iter().enumerate() {
            form.push((format!("TagSpecification.1.Tag.{}.Key", n + 1), key.clone()));
            form.push((
                format!("TagSpecification.1.Tag.{}.Value", n + 1),
                value.clone(),
            ));
        }
        let answer = self.call("CreateVolume", &form).await?;
        xml::text(&answer, "volumeId").ok_or(Error::Answer {
            action: "CreateVolume",
            why: "no volumeId".into(),
        })
    }

    /// Deletes a volume; one that is gone already is no mistake.
    pub(super) async fn delete_volume(&self, id: &str) -> Result<(), Error> {
        match self
            .call("DeleteVolume", &[("VolumeId".to_owned(), id.to_owned())])
            .await
        {
            Err(Error::Ec2 { code, .. }) if code == "InvalidVolume.NotFound" => Ok(()),
            other => other.map(drop),
        }
    }

    async fn describe(
        &self,
        action: &'static str,
        filters: &[(String, String)],
    ) -> Result<Vec<BTreeMap<String, String>>, Error> {
        let mut form = Vec::new();
        for (n, (name, value)) in filters.iter().enumerate() {
            form.push((format!("Filter.{}.Name", n + 1), name.clone()));
            form.push((format!("Filter.{}.Value.1", n + 1), value.clone()));
        }
        let answer = self.call(action, &form).await?;
        let unreadable = |why: roxmltree::Error| Error::Answer {
            action,
            why: why.to_string(),
        };
        let document = Document::parse(&answer).map_err(unreadable)?;
        Ok(xml::items(&document).map(|item| fields(&item)).collect())
    }

    async fn call(&self, action: &'static str, form: &[(String, String)]) -> Result<String, Error> {
        let mut whole = Form::new([("Action", action), ("Version", "2016-11-15")]);
        whole.0.extend_from_slice(form);
        self.backend
            .query(&self.scope, &whole)
            .await
            .map_err(|refused| Error::Ec2 {
                action,
                code: refused.code,
                message: refused.message,
            })
    }
}

fn filters(term: &SelectorTerm, id: &str, name: Option<&str>) -> Vec<(String, String)> {
    let mut filters = Vec::new();
    if let Some(value) = &term.id {
        filters.push((id.to_owned(), value.clone()));
    }
    if let (Some(filter), Some(value)) = (name, &term.name) {
        filters.push((filter.to_owned(), value.clone()));
    }
    for (key, value) in &term.tags {
        filters.push(match value.as_str() {
            "*" => ("tag-key".to_owned(), key.clone()),
            _ => (format!("tag:{key}"), value.clone()),
        });
    }
    filters
}

/// The plain fields of one item; nested lists are left out.
fn fields(row: &roxmltree::Node<'_, '_>) -> BTreeMap<String, String> {
    row.children()
        .filter(|node| node.is_element())
        .filter_map(|node| Some((node.tag_name().name().to_owned(), node.text()?.to_owned())))
        .collect()
}

fn text(item: &BTreeMap<String, String>, field: &str) -> String {
    item.get(field).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_becomes_filters_that_must_all_hold() {
        let term = SelectorTerm {
            id: Some("sg-1".into()),
            name: Some("nodes".into()),
            tags: BTreeMap::from([("a".into(), "*".into()), ("b".into(), "c".into())]),
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            filters(&term, "group-id", Some("group-name")),
            [
                pair("group-id", "sg-1"),
                pair("group-name", "nodes"),
                pair("tag-key", "a"),
                pair("tag:b", "c"),
            ],
        );
    }
}
