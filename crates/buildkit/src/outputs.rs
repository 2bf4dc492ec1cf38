//! Outputs that go to the client: a folder, and archives.

use std::{collections::BTreeMap, fmt, io::Write as _, os::fd::AsFd as _, sync::Arc};

use corten_build::{Attest, Error, Finished, ImageOptions, Output};
use corten_engine::builds::{Builds, StepSettings};
use corten_oci::platform::Platform;
use tokio::{runtime::Handle, sync::watch};

use crate::{
    errors::{self, File, build_error},
    files::send,
    grpc::{Result, Status},
    proto::control::Exporter,
    session::Session,
};

/// What makes outputs.
pub(crate) struct Outputs<'a> {
    pub(crate) builds: &'a Builds,
    pub(crate) session: &'a Arc<Session>,
    pub(crate) settings: &'a StepSettings,
    pub(crate) cancel: &'a watch::Sender<bool>,
    /// What is built for.
    pub(crate) platforms: &'a [Platform],
    /// What is stated.
    pub(crate) attest: &'a Attest,
}

impl Outputs<'_> {
    /// The outputs that were asked for.
    pub(crate) fn read(&self, exporters: &[Exporter]) -> Result<Vec<Arc<dyn Output>>> {
        let outputs = exporters.iter().enumerate();
        outputs
            .map(|(number, exporter)| self.output(number, exporter))
            .collect()
    }

    fn output(&self, number: usize, exporter: &Exporter) -> Result<Arc<dyn Output>> {
        let archive = |kind| -> Arc<dyn Output> {
            Arc::new(ClientOutput {
                runtime: Handle::current(),
                session: Arc::clone(self.session),
                number,
                kind,
            })
        };
        match exporter.kind.as_str() {
            "moby" | "image" | "" => {
                let options = self.options(&exporter.attrs)?;
                let runtime = Handle::current();
                Ok(self.builds.image_output(options, self.settings, self.cancel, &runtime))
            }
            "local" | "tar" => {
                let known = |name: &str| name.starts_with("attestation-prefix");
                if let Some(name) = exporter.attrs.keys().find(|name| !known(name)) {
                    return Err(Status::unimplemented(format!("output option {name} is not supported")));
                }
                Ok(archive(match exporter.kind.as_str() {
                    "local" => Kind::Folder,
                    _ => Kind::Files,
                }))
            }
            "docker" | "oci" => {
                let mut attributes = exporter.attrs.clone();
                // One archive, which is what is sent.
                if attributes.remove("tar").is_some_and(|tar| tar != "true") {
                    return Err(Status::unimplemented("output option tar=false is not supported"));
                }
                Ok(archive(Kind::Image(self.options(&attributes)?)))
            }
            other => Err(Status::unimplemented(format!("exporter {other:?} could not be found"))),
        }
    }

    fn options(&self, attributes: &BTreeMap<String, String>) -> Result<ImageOptions> {
        let options = ImageOptions::read(attributes).and_then(|options| {
            options.check_for(self.platforms, self.attest)?;
            Ok(options)
        });
        options.map_err(|error| errors::status(&error, &File::default()))
    }
}

/// What the client gets.
#[derive(Debug, Clone)]
enum Kind {
    /// The files, one by one.
    Folder,
    /// The files as a tar.
    Files,
    /// The image, as `docker load` takes it; it is an OCI layout as well.
    Image(ImageOptions),
}

struct ClientOutput {
    runtime: Handle,
    session: Arc<Session>,
    number: usize,
    kind: Kind,
}

impl fmt::Debug for ClientOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOutput")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Output for ClientOutput {
    fn title(&self) -> String {
        match self.kind {
            Kind::Folder => "exporting to client directory".to_owned(),
            Kind::Files => "exporting to client tarball".to_owned(),
            Kind::Image(_) => "exporting to docker image format".to_owned(),
        }
    }

    fn export(&self, result: &Finished<'_>) -> Result<BTreeMap<String, String>, Error> {
        let failed = |status: Status| build_error(&status);
        let call = self.runtime.block_on(send::start(&self.session, self.number, &[]));
        let call = call.map_err(failed)?;
        if matches!(self.kind, Kind::Folder) {
            let (root, _held) = result.root()?;
            let sent = self.runtime.block_on(send::folder(call, root.as_fd(), &mut |_| {}));
            sent.map_err(failed)?;
            result.done("copying files");
            return Ok(BTreeMap::new());
        }
        let mut stream = std::io::BufWriter::with_capacity(192 << 10, send::Stream::new(self.runtime.clone(), call));
        match &self.kind {
            Kind::Image(options) => result.write_image(options, &mut stream)?,
            Kind::Folder | Kind::Files => result.write_tar(&mut stream)?,
        }
        stream.flush().map_err(Error::from)?;
        let stream = stream.into_inner().map_err(|error| Error::from(error.into_error()))?;
        stream.finish().map_err(failed)?;
        result.done("sending tarball");
        Ok(BTreeMap::new())
    }
}
