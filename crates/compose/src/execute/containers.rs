//! Containers: made, made anew, started, stopped, removed.

use std::collections::BTreeMap;

use corten_api::container::Inspect;
use corten_client::{Body, Kind, PutArchive, RemoveOptions, StopOptions};

use super::{Executor, create_container, is_gone};
use crate::{
    convert::{self, Around},
    error::{Error, Result},
    model::Service,
    plan::Target,
};

impl Executor<'_> {
    pub(super) fn service(&self, name: &str) -> Option<&Service> {
        self.project.services.get(name)
    }

    /// Makes a container, perhaps in the place of another one: under another name first, so that nothing is
    /// lost when that fails.
    pub(super) async fn create(&self, target: &Target, old: Option<&str>) -> Result<()> {
        let Some(service) = self.service(&target.service) else {
            return Err(Error::not_found(format!("no such service: {}", target.service)));
        };
        let around = self.around(target, old).await?;
        let name = match old {
            Some(old) => super::rolling::beside(old, &target.name),
            None => target.name.clone(),
        };
        let id = self.make(&target.service, service, &name, &around).await?;
        if let Some(old) = old {
            self.stop_id(&target.service, old).await?;
            let options = RemoveOptions {
                volumes: self.options.renew_volumes,
                ..RemoveOptions::default()
            };
            self.client.remove_container(old, options).await?;
            self.client.rename_container(&id, &target.name).await?;
        }
        self.know(&target.service, target.number, &id);
        Ok(())
    }

    /// What a container needs beyond its definition, that may come in the place of another one.
    pub(super) async fn around(&self, target: &Target, old: Option<&str>) -> Result<Around> {
        let inherited = match old {
            Some(old) if !self.options.renew_volumes => self.volumes(old).await?,
            _ => BTreeMap::new(),
        };
        Ok(Around {
            name: target.name.clone(),
            number: Some(target.number),
            image_id: self.options.images.get(&target.service).cloned().unwrap_or_default(),
            inherited,
            containers: self.by_service(),
            replaces: old.map(|_| format!("{}-{}", target.service, target.number)),
            ..Around::default()
        })
    }

    /// Makes a container of a service; gives its id.
    ///
    /// # Errors
    /// The engine's refusal; what the definition refers to in vain.
    pub async fn make(&self, service_name: &str, service: &Service, name: &str, around: &Around) -> Result<String> {
        let request = convert::container(self.project, service_name, service, around)?;
        let id = create_container(self.client, self.project, service, name, request).await?;
        if convert::has_content(self.project, service) {
            let archive = convert::archive(self.project, service)?;
            let options = PutArchive {
                overwrite_kind: true,
                keep_owners: true,
            };
            self.client
                .put_archive(&id, "/", options, Body::Bytes(archive.into()))
                .await?;
        }
        Ok(id)
    }

    /// The containers that are there, by service.
    pub fn by_service(&self) -> BTreeMap<String, Vec<String>> {
        let mut services: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for ((service, _), id) in self.containers.borrow().iter() {
            services.entry(service.clone()).or_default().push(id.clone());
        }
        services
    }

    /// The volumes of a container by path: what its successor takes over.
    async fn volumes(&self, id: &str) -> Result<BTreeMap<String, String>> {
        let inspect = self.inspect(id).await?;
        let volumes = inspect.mounts.into_iter().filter(|mount| mount.kind == "volume");
        Ok(volumes.map(|mount| (mount.destination, mount.name)).collect())
    }

    pub(super) async fn inspect(&self, id: &str) -> Result<Inspect> {
        let bytes = self.client.inspect_container(id, false).await?;
        corten_api::decode(&bytes)
            .map_err(|error| Error::unavailable(format!("cannot read the engine's answer: {error}")))
    }

    pub(super) async fn start(&self, target: &Target) -> Result<()> {
        let id = self.id(target)?;
        self.client.start_container(&id, "").await?;
        self.know(&target.service, target.number, &id);
        if let Some(service) = self.service(&target.service) {
            for hook in &service.post_start {
                self.hook(&target.service, &target.name, &id, hook).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn stop(&self, target: &Target) -> Result<()> {
        match self.stop_id(&target.service, &self.id(target)?).await {
            Err(error) if is_gone(&error) => Ok(()),
            result => result,
        }
    }

    pub(super) async fn stop_id(&self, service: &str, id: &str) -> Result<()> {
        let hooks = self.service(service).map(|service| service.pre_stop.as_slice());
        if let Some(hooks) = hooks.filter(|hooks| !hooks.is_empty())
            && self.inspect(id).await?.state.running
        {
            for hook in hooks {
                self.hook(service, id, id, hook).await?;
            }
        }
        let options = StopOptions {
            timeout: self.options.timeout,
            ..StopOptions::default()
        };
        Ok(self.client.stop_container(id, &options).await?)
    }

    pub(super) async fn restart(&self, target: &Target) -> Result<()> {
        let options = StopOptions {
            timeout: self.options.timeout,
            ..StopOptions::default()
        };
        let id = self.id(target)?;
        self.client.restart_container(&id, &options).await?;
        if let Some(service) = self.service(&target.service) {
            for hook in &service.post_start {
                self.hook(&target.service, &target.name, &id, hook).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn remove(&self, target: &Target, volumes: bool, force: bool) -> Result<()> {
        let options = RemoveOptions {
            volumes,
            link: false,
            force,
        };
        match self.client.remove_container(&self.id(target)?, options).await {
            Err(error) if error.is_not_found() => Ok(()),
            // One that is being removed by somebody else is as good as gone.
            Err(error) if error.kind() == Kind::Conflict && error.to_string().contains("already in progress") => Ok(()),
            result => Ok(result?),
        }
    }
}
