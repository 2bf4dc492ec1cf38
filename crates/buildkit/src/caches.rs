//! Caches that come from elsewhere and go elsewhere (`CacheOptions` of a request).

use std::sync::Arc;

use corten_build::{Blobs, CacheOptions, CacheTarget, CacheTo, Request};
use corten_engine::builds::StepSettings;
use tokio::{runtime::Handle, sync::watch};

use crate::{
    content::ContentStore,
    errors::{self, File},
    grpc::{Result, Status},
    inner::Inner,
    proto::control::CacheOptionsEntry,
    solve::Solve,
};

impl Inner {
    /// Adds to an order where its cache comes from and goes.
    pub(crate) fn caches(
        &self,
        solve: &Arc<Solve>,
        order: &mut Request,
        settings: &StepSettings,
        cancel: &watch::Sender<bool>,
    ) -> Result<()> {
        let failed = |error: corten_build::Error| errors::status(&error, &File::default());
        let runtime = Handle::current();
        let builds = self.engine.builds();
        let asked = solve.request.cache.clone().unwrap_or_default();
        // Names in the attributes of the frontend are images of registries, too.
        let names: Vec<String> = std::mem::take(&mut order.cache_from);
        let named = names.into_iter().map(|name| CacheOptionsEntry {
            kind: "registry".to_owned(),
            attrs: [("ref".to_owned(), name)].into(),
        });
        for import in named.chain(asked.imports) {
            let text = |name: &str| import.attrs.get(name).map_or("", String::as_str);
            match import.kind.as_str() {
                // An image that is here needs no registry.
                "registry" if builds.store().images().resolve(text("ref")).is_ok() => {
                    order.cache_from.push(text("ref").to_owned());
                }
                "registry" => {
                    let source = builds.cache_source(text("ref"), settings, cancel, &runtime);
                    order.imports.push(source.map_err(failed)?);
                }
                "local" => {
                    let store = format!("local:{}", text("src"));
                    let digest = text("digest").parse();
                    let digest =
                        digest.map_err(|_| Status::invalid("local cache importer requires explicit digest"))?;
                    let source: Arc<dyn Blobs> = Arc::new(ContentStore::new(&solve.session, store, Some(digest)));
                    order.imports.push(source);
                }
                other => {
                    return Err(Status::unimplemented(format!(
                        "cache importer {other:?} is not supported"
                    )));
                }
            }
        }
        for export in asked.exports {
            let text = |name: &str| export.attrs.get(name).map_or("", String::as_str);
            if export.kind == "inline" {
                order.inline_cache = true;
                continue;
            }
            let options = CacheOptions::read(&export.attrs, &["ref", "dest", "tag"]).map_err(failed)?;
            let target: Arc<dyn CacheTarget> = match export.kind.as_str() {
                "registry" => {
                    let target = builds.cache_target(text("ref"), settings, cancel, &runtime);
                    target.map_err(failed)?
                }
                "local" => {
                    let store = format!("local:{}", text("dest"));
                    Arc::new(ContentStore::new(&solve.session, store, None))
                }
                other => {
                    return Err(Status::unimplemented(format!(
                        "cache exporter {other:?} is not supported"
                    )));
                }
            };
            order.exports.push(CacheTo { options, target });
        }
        Ok(())
    }
}
