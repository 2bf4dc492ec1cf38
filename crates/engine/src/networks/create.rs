//! Making networks, and configurations for them.

use corten_api::network::{CreateRequest, Created};

use super::{Network, Networks, State, configuration, plan};
use crate::error::{Error, Result};

impl Networks {
    /// Makes a network, or keeps a configuration for networks. Blocks.
    ///
    /// # Errors
    /// `Conflict` when the name is taken, `Forbidden` for predefined names, overlapping subnets and what
    /// only a swarm has, `Invalid` for what makes no sense, `NotFound` for unknown drivers and
    /// configurations.
    pub fn create(&self, request: CreateRequest) -> Result<Created> {
        plan::check(&request)?;
        if request.config_only {
            return self.create_configuration(&request);
        }
        let request = self.configured(request)?;
        let fabric = self.fabric()?;
        // What the user chose, the host may have in use elsewhere.
        let host = match plan::chooses_subnets(&request) {
            true => fabric.host_subnets(&self.state().bridges())?,
            false => Vec::new(),
        };
        let (id, bridge) = {
            let mut state = self.state();
            state.check_name(&request.name)?;
            let record = plan::record(&request, &self.0.settings, &state.subnets(), &host)?;
            state.check_conflicts(&record)?;
            let plan = record.bridge.as_ref().map(|bridge| bridge.plan.clone());
            let id = record.id.clone();
            state.networks.insert(id.clone(), Network::new(record)?);
            (id, plan)
        };
        let made = bridge.map_or(Ok(()), |plan| fabric.ensure_bridge(&plan).map_err(Error::from));
        if let Err(error) = made.and_then(|()| self.save(&id)) {
            self.state().networks.remove(&id);
            return Err(error);
        }
        self.emit(&id, "create", None);
        Ok(Created {
            id,
            warning: String::new(),
        })
    }

    fn create_configuration(&self, request: &CreateRequest) -> Result<Created> {
        let record = configuration::record(request, plan::options(request, &self.0.settings));
        let id = record.id.clone();
        {
            let mut state = self.state();
            state.check_name(&request.name)?;
            state.networks.insert(id.clone(), Network::new(record)?);
        }
        self.save(&id)
            .inspect_err(|_| drop(self.state().networks.remove(&id)))?;
        self.emit(&id, "create", None);
        Ok(Created {
            id,
            warning: String::new(),
        })
    }

    /// Completes a request by the configuration that it names.
    fn configured(&self, request: CreateRequest) -> Result<CreateRequest> {
        let Some(from) = &request.config_from else {
            return Ok(request);
        };
        let state = self.state();
        let mut configurations = state.networks.values().map(|network| &network.record);
        let found = configurations.find(|record| record.configuration.is_some() && record.name == from.network);
        let missing = || {
            let name = &from.network;
            Error::not_found(format!("configuration network \"{name}\" does not exist"))
        };
        Ok(configuration::complete(&request, found.ok_or_else(missing)?))
    }
}

impl State {
    fn check_name(&self, name: &str) -> Result<()> {
        match self.networks.values().any(|network| network.record.name == name) {
            true => Err(Error::conflict(format!("network with name {name} already exists"))),
            false => Ok(()),
        }
    }
}
