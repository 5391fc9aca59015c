//! Volumes that Auto Mode made for claims: never made by us, and they hold
//! data.

use trunkline_engine::{Kept, Step, Verb, Wish};

use super::{CALL, Drafter};
use crate::{NetAction, observe::Volume, spec::address};

impl Drafter<'_> {
    pub(super) fn volumes(&mut self) {
        let Wish::Destroyed { with_data } = self.wish else {
            return;
        };
        let volumes = match &self.seen.volumes {
            Ok(volumes) => volumes,
            Err(why) => {
                // There is no one address: any of them may be there.
                self.unknown.insert(address("volume", "any"), why.clone());
                return;
            }
        };
        for volume in volumes {
            if with_data {
                self.delete_volume(volume);
            } else {
                self.draft.kept.push(Kept {
                    address: volume.address(),
                    id: volume.id.to_string(),
                    why: format!("it holds {}", data(volume)),
                    command: format!(
                        "trunkline destroy {} --delete-data",
                        self.spec.environment()
                    ),
                });
            }
        }
    }

    fn delete_volume(&mut self, volume: &Volume) {
        let action = NetAction::Delete {
            id: volume.id.to_string(),
            first: Vec::new(),
        };
        let step = Step::new(Verb::Delete, volume.address(), "ec2", action)
            .about(format!("{} GiB", volume.gib))
            .because("the environment is destroyed with its data")
            .loses(data(volume))
            .takes(CALL);
        self.steps.push(step);
    }
}

fn data(volume: &Volume) -> String {
    match &volume.claim {
        Some(claim) => format!("the data of {claim}, {} GiB", volume.gib),
        None => format!("{} GiB of data", volume.gib),
    }
}
