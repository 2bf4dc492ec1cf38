//! Outputs that go to the client: a folder, and archives.

use std::{collections::BTreeMap, fmt, io::Write as _, os::fd::AsFd as _, sync::Arc};

use corten_build::{Error, Finished, ImageOutput, Output};
use corten_oci::reference::Reference;
use tokio::runtime::Handle;

use crate::{
    errors::build_error,
    files::send,
    grpc::{Result, Status},
    proto::control::Exporter,
    session::Session,
};

/// The outputs that were asked for.
pub(crate) fn outputs(exporters: &[Exporter], session: &Arc<Session>) -> Result<Vec<Arc<dyn Output>>> {
    let outputs = exporters.iter().enumerate();
    outputs
        .map(|(number, exporter)| output(number, exporter, session))
        .collect()
}

fn output(number: usize, exporter: &Exporter, session: &Arc<Session>) -> Result<Arc<dyn Output>> {
    let attribute = |name: &str| exporter.attrs.get(name).map_or("", String::as_str);
    let archive = |kind| -> Arc<dyn Output> {
        Arc::new(ClientOutput {
            runtime: Handle::current(),
            session: Arc::clone(session),
            number,
            kind,
        })
    };
    match exporter.kind.as_str() {
        // Clients of Docker's driver push by themselves, afterwards.
        "moby" | "" => Ok(Arc::new(ImageOutput {
            names: names(attribute("name"))?,
        })),
        "local" => Ok(archive(Kind::Folder)),
        "tar" => Ok(archive(Kind::Files)),
        "docker" | "oci" => Ok(archive(Kind::Image(names(attribute("name"))?))),
        other => Err(Status::unimplemented(format!("exporter {other:?} could not be found"))),
    }
}

/// Names with commas between them.
pub(crate) fn names(text: &str) -> Result<Vec<Reference>> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let wrong = |error| Status::invalid(format!("invalid tag {name:?}: {error}"));
            name.parse::<Reference>().map_err(wrong)
        })
        .collect()
}

/// What the client gets.
#[derive(Debug, Clone)]
enum Kind {
    /// The files, one by one.
    Folder,
    /// The files as a tar.
    Files,
    /// The image, as `docker load` takes it; it is an OCI layout as well.
    Image(Vec<Reference>),
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
            Kind::Image(names) => result.write_image(names, &mut stream)?,
            Kind::Folder | Kind::Files => result.write_tar(&mut stream)?,
        }
        stream.flush().map_err(Error::from)?;
        let stream = stream.into_inner().map_err(|error| Error::from(error.into_error()))?;
        stream.finish().map_err(failed)?;
        result.done("sending tarball");
        Ok(BTreeMap::new())
    }
}
