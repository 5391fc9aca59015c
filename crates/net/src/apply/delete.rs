//! Deletes: gone is done, and what is still in use is waited for.

use std::{future::Future, time::Duration};

use aws_sdk_ec2::types::Filter;
use trunkline_engine::{Failure, FailureKind};
use trunkline_ids::Kind;

use super::{Doer, FIRST_PAUSE, LONGEST_PAUSE, NAT_GATEWAY_AT_MOST};
use crate::{
    observe::{
        ElasticIp, Endpoint, InternetGateway, NatGateway, RouteTable, SecurityGroup, Subnet, Thing,
        Vpc, read, why,
    },
    spec::LAYER,
};

/// How long what uses a resource may take to vanish: interfaces of a deleted
/// cluster or load balancer are seen for some minutes.
const IN_USE_AT_MOST: Duration = Duration::from_secs(300);

impl Doer<'_> {
    pub(super) async fn delete(&self, id: &str) -> Result<(), Failure> {
        let kind = self.cx.address().kind();
        match kind.as_str().rsplit('/').next().unwrap_or_default() {
            Vpc::KIND => self.delete_vpc(id).await,
            InternetGateway::KIND => self.delete_internet_gateway(id).await,
            Subnet::KIND => self.delete_subnet(id).await,
            ElasticIp::KIND => self.release_elastic_ip(id).await,
            NatGateway::KIND => self.delete_nat_gateway(id).await,
            RouteTable::KIND => self.delete_route_table(id).await,
            Endpoint::KIND => self.delete_endpoint(id).await,
            SecurityGroup::KIND => self.delete_security_group(id).await,
            "volume" => self.delete_volume(id).await,
            other => Err(Failure::bug(format!("{LAYER} has no kind {other}"))),
        }
    }

    async fn delete_vpc(&self, id: &str) -> Result<(), Failure> {
        self.until_free(id, "vpc-id", || async {
            let done = self.ec2().delete_vpc().vpc_id(id).send().await;
            done.map(drop).map_err(why("DeleteVpc"))
        })
        .await
    }

    async fn delete_internet_gateway(&self, id: &str) -> Result<(), Failure> {
        self.until_gone(&format!("{id} to go"), || async {
            let call = self.ec2().delete_internet_gateway();
            let done = call.internet_gateway_id(id).send().await;
            done.map(drop).map_err(why("DeleteInternetGateway"))
        })
        .await
    }

    async fn delete_subnet(&self, id: &str) -> Result<(), Failure> {
        self.until_free(id, "subnet-id", || async {
            let done = self.ec2().delete_subnet().subnet_id(id).send().await;
            done.map(drop).map_err(why("DeleteSubnet"))
        })
        .await
    }

    async fn release_elastic_ip(&self, id: &str) -> Result<(), Failure> {
        self.until_gone(&format!("{id} to be free"), || async {
            let done = self.ec2().release_address().allocation_id(id).send().await;
            let done = done.map(drop).map_err(why("ReleaseAddress"));
            // EC2's word for "a NAT gateway that has just gone still holds
            // it" (kops #938); a real denial is UnauthorizedOperation.
            done.map_err(|mut failure| {
                if failure.cause.code == "AuthFailure" {
                    failure.kind = FailureKind::Retry;
                }
                failure
            })
        })
        .await
    }

    /// A NAT gateway keeps its address and its subnet until it is deleted to
    /// its end.
    pub(super) async fn delete_nat_gateway(&self, id: &str) -> Result<(), Failure> {
        self.until_gone(&format!("{id} to be deletable"), || async {
            let done = self.ec2().delete_nat_gateway().nat_gateway_id(id).send();
            done.await.map(drop).map_err(why("DeleteNatGateway"))
        })
        .await?;
        let ask = || async move {
            let all = read::nat_gateways(self.ec2(), self.marked()).await?;
            let is_there = all.iter().any(|nat| nat.id.as_str() == id);
            Ok((!is_there).then_some(()))
        };
        let every = Duration::from_secs(1);
        let what = format!("{id} to be deleted");
        self.cx.poll(&what, every, NAT_GATEWAY_AT_MOST, ask).await
    }

    async fn delete_route_table(&self, id: &str) -> Result<(), Failure> {
        self.until_gone(&format!("{id} to be free"), || async {
            let done = self.ec2().delete_route_table().route_table_id(id).send();
            done.await.map(drop).map_err(why("DeleteRouteTable"))
        })
        .await
    }

    /// Answers 200 even when it refuses: the refusals are in the answer.
    async fn delete_endpoint(&self, id: &str) -> Result<(), Failure> {
        self.until_gone(&format!("{id} to be deletable"), || async {
            let call = self.ec2().delete_vpc_endpoints().vpc_endpoint_ids(id);
            let done = call.send().await.map_err(why("DeleteVpcEndpoints"))?;
            let refusal = done.unsuccessful().first().and_then(|item| item.error());
            let Some(refusal) = refusal else {
                return Ok(());
            };
            let code = refusal.code().unwrap_or_default().to_owned();
            let kind = match code.ends_with("NotFound") {
                true => FailureKind::Gone,
                false => FailureKind::Conflict,
            };
            let cause = trunkline_engine::Cause {
                service: "EC2".into(),
                action: "DeleteVpcEndpoints".into(),
                code,
                message: refusal.message().unwrap_or_default().to_owned(),
                request_id: None,
            };
            Err(Failure::new(kind, cause).clear())
        })
        .await?;
        let ask = || async move {
            let all = read::endpoints(self.ec2(), self.marked()).await?;
            let is_there = all.iter().any(|endpoint| endpoint.id.as_str() == id);
            Ok((!is_there).then_some(()))
        };
        let every = Duration::from_secs(1);
        let what = format!("{id} to be deleted");
        self.cx.poll(&what, every, IN_USE_AT_MOST, ask).await
    }

    async fn delete_security_group(&self, id: &str) -> Result<(), Failure> {
        self.until_free(id, "group-id", || async {
            let done = self.ec2().delete_security_group().group_id(id).send();
            done.await.map(drop).map_err(why("DeleteSecurityGroup"))
        })
        .await
    }

    async fn delete_volume(&self, id: &str) -> Result<(), Failure> {
        self.until_gone(&format!("{id} to be detached"), || async {
            let done = self.ec2().delete_volume().volume_id(id).send().await;
            done.map(drop).map_err(why("DeleteVolume"))
        })
        .await
    }

    /// Deletes what network interfaces may be using: names them while waiting
    /// and when it was in vain.
    async fn until_free<F>(
        &self,
        id: &str,
        filter: &str,
        call: impl Fn() -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        let interfaces = || self.interfaces(read::filter(filter, [id]));
        match call().await {
            Err(failure) if failure.cause.code == "DependencyViolation" => {}
            Err(failure) if failure.kind == FailureKind::Gone => return Ok(()),
            Err(failure) if failure.is_passing() => {}
            ended => return ended,
        }
        let what = match interfaces().await {
            Ok(users) if !users.is_empty() => format!("{} in {id} to go", users.join(", ")),
            _ => format!("what uses {id} to go"),
        };
        match self.until_gone(&what, call).await {
            Err(mut failure) if failure.cause.code == "DependencyViolation" => {
                for user in interfaces().await.unwrap_or_default() {
                    failure = failure.remains(user);
                }
                Err(failure.next(format!("remove what uses {id}, then run the same again")))
            }
            ended => ended,
        }
    }

    /// Network interfaces, in words.
    async fn interfaces(&self, by: Filter) -> Result<Vec<String>, Failure> {
        let words = |interface: &aws_sdk_ec2::types::NetworkInterface| {
            let id = interface.network_interface_id()?;
            let about = interface.description().filter(|words| !words.is_empty());
            Some(match about {
                Some(about) => format!("{id} ({about})"),
                None => id.to_owned(),
            })
        };
        read::pages!(
            self.ec2(),
            describe_network_interfaces,
            "DescribeNetworkInterfaces",
            words,
            filters(by)
        )
    }

    /// Asks until it is done or gone; tries again while something uses it,
    /// without holding a slot.
    pub(super) async fn until_gone<F>(
        &self,
        what: &str,
        call: impl Fn() -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        let once = || async {
            match call().await {
                Err(failure) if failure.kind == FailureKind::Gone => Ok(()),
                ended => ended,
            }
        };
        match once().await {
            Err(failure) if failure.is_passing() => {}
            ended => return ended,
        }
        let trying = async {
            let until = tokio::time::Instant::now() + IN_USE_AT_MOST;
            let mut pause = FIRST_PAUSE;
            loop {
                tokio::time::sleep(pause).await;
                match once().await {
                    Err(failure) if failure.is_passing() => {
                        if tokio::time::Instant::now() >= until {
                            return Err(in_vain(failure));
                        }
                    }
                    ended => return ended,
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        self.cx.wait(what, trying).await
    }
}

/// What did not pass in all that time does not pass by trying once more.
fn in_vain(mut failure: Failure) -> Failure {
    failure.kind = FailureKind::Conflict;
    failure
}

/// The order in which kinds of the network are deleted: first, then.
pub(crate) fn order() -> Vec<(Kind, Kind)> {
    let kind = |name| Kind::new(LAYER, name);
    [
        (Endpoint::KIND, RouteTable::KIND),
        (RouteTable::KIND, NatGateway::KIND),
        (RouteTable::KIND, Subnet::KIND),
        (RouteTable::KIND, InternetGateway::KIND),
        (NatGateway::KIND, ElasticIp::KIND),
        (NatGateway::KIND, Subnet::KIND),
        (NatGateway::KIND, InternetGateway::KIND),
        (ElasticIp::KIND, InternetGateway::KIND),
        (Subnet::KIND, Vpc::KIND),
        (InternetGateway::KIND, Vpc::KIND),
        (SecurityGroup::KIND, Vpc::KIND),
    ]
    .into_iter()
    .map(|(first, then)| (kind(first), kind(then)))
    .collect()
}
