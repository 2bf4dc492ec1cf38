//! What is kept of a volume: `volume.json`.

use std::{collections::BTreeMap, path::Path};

use corten_api::{time::Time, volume::CreateRequest};
use corten_sys::fs;
use serde::{Deserialize, Serialize};

use super::{ANONYMOUS, LOCAL};
use crate::error::{Error, Result};

/// The record's name in the volume's folder.
pub(super) const FILE: &str = "volume.json";

/// A volume, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) created_at: String,
    pub(super) driver: String,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) options: Option<BTreeMap<String, String>>,
}

impl Record {
    pub(super) fn new(request: CreateRequest) -> Self {
        let driver = match request.driver.as_str() {
            "" => LOCAL.to_owned(),
            driver => driver.to_owned(),
        };
        Self {
            name: request.name,
            created_at: now_in_seconds(),
            driver,
            labels: Some(request.labels),
            options: Some(request.driver_opts).filter(|options| !options.is_empty()),
        }
    }

    /// Reads a record; one that cannot be read is an ordinary volume's.
    pub(super) fn read(path: &Path, name: &str) -> Self {
        let damaged = |why: String| {
            tracing::warn!(
                volume = name,
                why,
                "the volume's record cannot be read: its labels and options are lost"
            );
            Self {
                name: name.to_owned(),
                created_at: String::new(),
                driver: LOCAL.to_owned(),
                labels: None,
                options: None,
            }
        };
        match fs::read(path) {
            Ok(bytes) => match serde_json::from_slice::<Self>(&bytes) {
                Ok(record) if record.name == name => record,
                Ok(_) => damaged("it is another volume's".to_owned()),
                Err(error) => damaged(error.to_string()),
            },
            Err(error) => damaged(error.to_string()),
        }
    }

    /// Makes the volume's folder, with one for its files if they are here, and the record in it.
    pub(super) fn write(&self, root: &Path, with_data: bool) -> Result<()> {
        let folder = root.join(&self.name);
        fs::create_dir_all_mode(&folder, 0o701)?;
        if with_data {
            fs::create_dir_all_mode(folder.join("_data"), 0o755)?;
        }
        let json = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::internal("cannot write the volume's record").source(error))?;
        fs::write_atomic(folder.join(FILE), json)?;
        Ok(())
    }

    pub(super) fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.labels.as_ref().unwrap_or(&NONE)
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.labels().contains_key(ANONYMOUS)
    }
}

fn now_in_seconds() -> String {
    Time::from_nanoseconds(Time::now().seconds().saturating_mul(1_000_000_000)).to_string()
}
