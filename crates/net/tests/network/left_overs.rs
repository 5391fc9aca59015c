//! What is not ours to make and may be left: interfaces, volumes, what EKS and
//! Auto Mode made.

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use trunkline_engine::{Outcome, Wish};
use trunkline_net::Nat;

use super::{
    DEPLOYED,
    support::{DESTROYED, Network, one, spec, text},
};

const WITH_DATA: Wish = Wish::Destroyed { with_data: true };

fn tagged(of: ResourceType, tags: &[(&str, &str)]) -> TagSpecification {
    let tags = tags
        .iter()
        .map(|(key, value)| Tag::builder().key(*key).value(*value).build());
    TagSpecification::builder()
        .resource_type(of)
        .set_tags(Some(tags.collect()))
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_of_a_delete_is_named_and_waited_for() {
    let net = Network::new().await;
    let spec = spec(&[1, 2], Nat::None);
    net.meet(&spec, DEPLOYED).await;
    let look = net.look().await;
    let subnet = text(&one(&look, "subnets", "net/subnet/private-euc1-az1")["SubnetId"]);
    let call = net.behind.create_network_interface().subnet_id(subnet);
    let made = call
        .description("Amazon EKS trunkline-sandbox")
        .send()
        .await
        .unwrap();
    let eni = made
        .network_interface()
        .unwrap()
        .network_interface_id()
        .unwrap()
        .to_owned();
    let planned = net.plan(&spec, DESTROYED).await;
    let (report, ()) = tokio::join!(net.walk(&spec, &planned), async {
        net.hears_waiting("(Amazon EKS trunkline-sandbox)").await;
        let call = net.behind.delete_network_interface();
        call.network_interface_id(eni).send().await.unwrap();
    });
    assert!(
        report
            .steps
            .iter()
            .all(|step| step.outcome == Outcome::Done)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_kept_until_their_data_may_go() {
    let net = Network::new().await;
    let spec = spec(&[1, 2], Nat::None);
    net.meet(&spec, DEPLOYED).await;
    let tags = [
        ("trunkline:environment", "sandbox"),
        ("eks:eks-cluster-name", "trunkline-sandbox"),
        ("kubernetes.io/created-for/pvc/name", "data-redis-0"),
        ("kubernetes.io/created-for/pvc/namespace", "redis"),
    ];
    let call = net
        .behind
        .create_volume()
        .availability_zone("eu-central-1a")
        .size(8);
    let made = call
        .tag_specifications(tagged(ResourceType::Volume, &tags))
        .send()
        .await;
    let volume = made.unwrap().volume_id().unwrap().to_owned();

    assert_eq!(net.steps(&spec, DEPLOYED).await, Vec::<String>::new());
    let planned = net.meet(&spec, DESTROYED).await;
    let kept = &planned.plan.kept;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].id, volume);
    assert_eq!(kept[0].command, "trunkline destroy sandbox --delete-data");
    assert_eq!(net.look().await["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(
        net.layer(&spec).leaks().await.unwrap(),
        Vec::<String>::new()
    );

    let planned = net.meet(&spec, WITH_DATA).await;
    let loses = planned.plan.steps[0].loses.as_deref();
    assert_eq!(loses, Some("the data of redis/data-redis-0, 8 GiB"));
    assert_eq!(net.look().await["volumes"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn left_overs_of_the_cluster_are_found() {
    let net = Network::new().await;
    let spec = spec(&[1, 2], Nat::None);
    let vpc = net
        .behind
        .create_vpc()
        .cidr_block("10.9.0.0/16")
        .send()
        .await
        .unwrap();
    let vpc = vpc.vpc().unwrap().vpc_id().unwrap();
    for (name, tag) in [
        ("mine", ("aws:eks:cluster-name", "trunkline-sandbox")),
        ("other", ("aws:eks:cluster-name", "trunkline-live")),
    ] {
        let call = net.behind.create_security_group().vpc_id(vpc);
        let call = call.group_name(name).description("made by EKS");
        let group = call.send().await.unwrap();
        let group = group.group_id().unwrap().to_owned();
        let tag = Tag::builder().key(tag.0).value(tag.1).build();
        net.behind
            .create_tags()
            .resources(group)
            .tags(tag)
            .send()
            .await
            .unwrap();
    }
    let tags = [("kubernetes.io/cluster/trunkline-sandbox", "owned")];
    let call = net
        .behind
        .create_volume()
        .availability_zone("eu-central-1a")
        .size(1);
    let call = call.tag_specifications(tagged(ResourceType::Volume, &tags));
    call.send().await.unwrap();
    let leaks = net.layer(&spec).leaks().await.unwrap();
    assert_eq!(leaks.len(), 2, "{leaks:?}");
    assert!(leaks[0].starts_with("security group sg-"), "{leaks:?}");
    assert!(leaks[1].starts_with("volume vol-"), "{leaks:?}");
}
