//! The order of services by what they depend on.

use crate::{
    error::{Error, Result},
    model::Project,
};

impl Project {
    /// The names of all services, each after those that it depends on.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): services depend on each other in a circle.
    pub fn in_order(&self) -> Result<Vec<String>> {
        let mut order = Vec::new();
        for name in self.services.keys() {
            self.visit(name, &mut Vec::new(), &mut order)?;
        }
        Ok(order)
    }

    fn visit(&self, name: &str, path: &mut Vec<String>, order: &mut Vec<String>) -> Result<()> {
        let Some(service) = self.services.get(name) else {
            return Ok(());
        };
        if order.iter().any(|done| done == name) {
            return Ok(());
        }
        if let Some(start) = path.iter().position(|above| above == name) {
            let circle = [&path[start..], &[name.to_owned()]].concat().join(" -> ");
            return Err(Error::invalid(format!("dependency cycle detected: {circle}")));
        }
        path.push(name.to_owned());
        for dependency in service.depends_on.keys() {
            self.visit(dependency, path, order)?;
        }
        path.pop();
        order.push(name.to_owned());
        Ok(())
    }
}
