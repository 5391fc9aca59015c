//! Properties: whatever is written, the reader answers; whatever is wished,
//! subnets lie where they should.

#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking, too

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use proptest::{prelude::*, sample::subsequence};
use trunkline_environment::{Environment, Reach, SubnetPlace};

fn file(cidr: Ipv4Net, zones: &[usize]) -> String {
    let zones: Vec<String> = zones
        .iter()
        .map(|zone| format!("\"euw1-az{zone}\""))
        .collect();
    format!(
        "environment = \"x\"\ntier = \"sandbox\"\naccount = \"111122223333\"\n\
         region = \"eu-west-1\"\n[network]\ncidr = \"{cidr}\"\nzones = [{}]\n\
         [workloads]\nrepository = \"https://example.com/x\"\n",
        zones.join(", ")
    )
}

fn subnets(cidr: Ipv4Net, zones: &[usize]) -> Vec<SubnetPlace> {
    Environment::parse("x.toml", &file(cidr, zones))
        .unwrap_or_else(|mistakes| panic!("{}", mistakes.render(80)))
        .network()
        .subnets()
}

fn vpc() -> impl Strategy<Value = Ipv4Net> {
    (0u8..=255, 0u8..=255, 16u8..=20).prop_map(|(second, third, prefix)| {
        Ipv4Net::new([10, second, third, 0].into(), prefix)
            .unwrap()
            .trunc()
    })
}

fn zones() -> impl Strategy<Value = Vec<usize>> {
    subsequence(vec![1, 2, 3, 4, 5, 6], 2..=6).prop_shuffle()
}

/// Texts near to a real file: a valid one with a piece replaced by anything.
fn damaged() -> impl Strategy<Value = String> {
    let valid = file("10.0.0.0/16".parse().unwrap(), &[1, 2, 3]);
    let length = valid.len();
    (
        0..length,
        0..20usize,
        "\\PC{0,12}|[\\[\\]{}=\"'.#\\n0-9a-z]{0,12}",
    )
        .prop_map(move |(start, cut, piece)| {
            let end = (start + cut).min(length);
            format!("{}{piece}{}", &valid[..start], &valid[end..])
        })
}

fn answers(text: &str) -> Result<(), TestCaseError> {
    if let Err(mistakes) = Environment::parse("environments/x.toml", text) {
        prop_assert!(!mistakes.all().is_empty());
        let report = mistakes.render(80);
        prop_assert!(report.contains("nothing was changed"));
        let lines = text.split('\n').count();
        for mistake in mistakes.all() {
            prop_assert!((1..=lines).contains(&mistake.line), "{mistake}");
            prop_assert!(mistake.column >= 1);
        }
        // miette must find every label in the text, too.
        let drawn = format!("{:?}", miette::Report::new(mistakes));
        prop_assert!(!drawn.is_empty());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}|[\\x00-\\x7f]{0,200}") {
        answers(&text)?;
    }

    #[test]
    fn any_damage_is_answered(text in damaged()) {
        answers(&text)?;
    }

    #[test]
    fn subnets_lie_in_the_vpc_and_never_overlap(cidr in vpc(), zones in zones()) {
        let places = subnets(cidr, &zones);
        prop_assert_eq!(places.len(), zones.len() * 2);
        for (index, place) in places.iter().enumerate() {
            prop_assert!(cidr.contains(&place.cidr));
            prop_assert!((16..=28).contains(&place.cidr.prefix_len()));
            for other in &places[..index] {
                prop_assert!(!place.cidr.contains(&other.cidr));
                prop_assert!(!other.cidr.contains(&place.cidr));
                prop_assert_ne!(place.name(), other.name());
            }
        }
    }

    #[test]
    fn no_zone_moves_another_ones_subnets(cidr in vpc(), before in zones(), after in zones()) {
        let places = |zones: &[usize]| -> BTreeMap<(Reach, String), Ipv4Net> {
            subnets(cidr, zones)
                .into_iter()
                .map(|place| ((place.reach, place.zone.to_string()), place.cidr))
                .collect()
        };
        let (before, after) = (places(&before), places(&after));
        for (key, cidr) in &before {
            if let Some(later) = after.get(key) {
                prop_assert_eq!(cidr, later);
            }
        }
    }
}
