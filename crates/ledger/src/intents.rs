//! Intents: written before a create, so that the next run knows of a create
//! whose end nobody saw.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use trunkline_aws::Guard;
use trunkline_engine::{Failure, Intent, Intents};
use trunkline_ids::Address;
use ulid::Ulid;

use crate::store::Store;

/// The folder of intents; below it, an object for each address.
const FOLDER: &str = "intents/";

/// The intents of an environment.
///
/// Those that earlier runs left open are listed once at the start; those of
/// this run are open, too, so that a step that is tried again sends the same
/// client token. [`LedgerIntents::settle`] removes what is settled.
pub struct LedgerIntents {
    store: Store,
    guard: Arc<dyn Guard>,
    run: Ulid,
    open: Mutex<BTreeMap<Address, Intent>>,
}

/// The object. When it was written is S3's to say.
#[derive(Serialize, Deserialize)]
struct Body {
    address: Address,
    token: String,
    run: Ulid,
}

impl LedgerIntents {
    /// Lists what is open. `guard` is asked before anything is written: a
    /// holder that lost its lease must not put its intents over another's.
    pub(crate) async fn load(
        store: Store,
        guard: Arc<dyn Guard>,
        run: Ulid,
    ) -> Result<Self, Failure> {
        let listed = store.list(FOLDER).await?;
        let keys = listed.iter().map(|listed| listed.key.clone()).collect();
        let mut open = BTreeMap::new();
        for ((key, stored), listed) in store.get_all(keys).await?.into_iter().zip(&listed) {
            let Some(stored) = stored else { continue };
            let body: Body = serde_json::from_slice(&stored.body).map_err(|error| {
                // To pass over it would mean to create something twice.
                Failure::bug(format!("the intent {key} cannot be read: {error}"))
                    .next("use the version of trunkline that wrote it")
            })?;
            let intent = Intent {
                address: body.address,
                token: body.token,
                at: listed.changed,
            };
            open.insert(intent.address.clone(), intent);
        }
        Ok(Self {
            store,
            guard,
            run,
            open: Mutex::new(open),
        })
    }

    /// All that are open now, by address.
    #[must_use]
    pub fn all_open(&self) -> Vec<Intent> {
        self.open_now().values().cloned().collect()
    }

    /// Removes the intents of these addresses, all in one go: of what was
    /// observed as present before the run, of what was created and seen, of
    /// what was deleted. An address without an intent is fine.
    ///
    /// A settled address that is created anew gets a new client token; without
    /// that AWS would answer with what the old token made, even if that is
    /// gone.
    ///
    /// # Errors
    /// S3's. What could not be removed is still open then.
    pub async fn settle<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a Address>,
    ) -> Result<(), Failure> {
        let settled: Vec<Address> = {
            let open = self.open_now();
            let addresses = addresses.into_iter();
            addresses
                .filter(|address| open.contains_key(address))
                .cloned()
                .collect()
        };
        if settled.is_empty() {
            return Ok(());
        }
        self.guard
            .check()
            .map_err(|why| Failure::stopped(why).clear())?;
        let keys: Vec<String> = settled.iter().map(key).collect();
        self.store.delete_all(&keys).await?;
        let mut open = self.open_now();
        for address in &settled {
            open.remove(address);
        }
        Ok(())
    }

    fn open_now(&self) -> MutexGuard<'_, BTreeMap<Address, Intent>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Intents for LedgerIntents {
    fn open(&self, address: &Address) -> Option<Intent> {
        self.open_now().get(address).cloned()
    }

    async fn intend(&self, address: &Address) -> Result<Intent, Failure> {
        self.guard
            .check()
            .map_err(|why| Failure::stopped(why).clear())?;
        let body = Body {
            address: address.clone(),
            token: Ulid::generate().to_string(),
            run: self.run,
        };
        let json = serde_json::to_vec(&body).map_err(|error| Failure::bug(error.to_string()))?;
        // Whatever became of the intent, the create was not sent.
        let at = self
            .store
            .put(&key(address), json)
            .await
            .map_err(Failure::clear)?;
        let intent = Intent {
            address: body.address,
            token: body.token,
            at,
        };
        self.open_now().insert(address.clone(), intent.clone());
        Ok(intent)
    }
}

impl std::fmt::Debug for LedgerIntents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LedgerIntents({} open)", self.open_now().len())
    }
}

fn key(address: &Address) -> String {
    format!("{FOLDER}{address}.json")
}
