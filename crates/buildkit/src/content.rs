//! Stores of content that a session offers (`containerd.services.content.v1`): caches in folders of the client,
//! and images in OCI layouts.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::Arc,
};

use corten_build::{Blobs, CacheOptions, CacheTarget, Error, Exported};
use corten_oci::{digest::Digest, image::Descriptor};
use corten_store::{CompressedBlob, IngestRequest, Lease, Resume, Store};
use tokio::runtime::Handle;

use crate::{
    errors::build_error,
    grpc::{
        Code, Result, Status,
        client::{Call, Incoming},
    },
    proto::content::{ReadContentRequest, ReadContentResponse, WriteAction, WriteContentRequest, WriteContentResponse},
    session::Session,
};

/// The most bytes of a document.
const MOST: usize = 8 << 20;
/// Bytes of a blob in one message.
const PIECE: usize = 1 << 20;
/// What says which of a client's stores is meant.
const STORE: &str = "buildkit-attachable-store-id";

/// A client's store of content.
#[derive(Debug, Clone)]
pub(crate) struct ContentStore {
    runtime: Handle,
    session: Arc<Session>,
    /// What the client calls it.
    id: String,
    /// Where to begin.
    top: Option<Digest>,
}

impl ContentStore {
    /// To be made where the engine's runtime is the current one.
    pub(crate) fn new(session: &Arc<Session>, id: String, top: Option<Digest>) -> Self {
        Self {
            runtime: Handle::current(),
            session: Arc::clone(session),
            id,
            top,
        }
    }

    async fn start(&self, method: &str) -> Result<Call> {
        let method = format!("/containerd.services.content.v1.Content/{method}");
        self.session.start(&method, &[(STORE, self.id.clone())]).await
    }

    async fn read(&self, digest: &Digest) -> Result<Incoming> {
        let mut call = self.start("Read").await?;
        let request = ReadContentRequest {
            digest: digest.to_string(),
            ..ReadContentRequest::default()
        };
        call.out.send(&request).await?;
        call.out.end();
        Ok(call.incoming)
    }

    async fn bytes(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut incoming = self.read(digest).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = incoming.next::<ReadContentResponse>().await? {
            bytes.extend_from_slice(&piece.data);
            if bytes.len() > MOST {
                return Err(Status::invalid(format!("{digest} is longer than {MOST} bytes")));
            }
        }
        match digest.matches(&bytes) {
            true => Ok(bytes),
            false => Err(Status::invalid(format!("{digest} does not have its digest"))),
        }
    }

    /// Writes a blob; one that is there already is fine.
    async fn write(&self, digest: &Digest, size: u64, content: &mut (dyn Read + Send)) -> Result<()> {
        match self.try_write(digest, size, content).await {
            Err(status) if status.code == Code::AlreadyExists => Ok(()),
            result => result,
        }
    }

    async fn try_write(&self, digest: &Digest, size: u64, content: &mut (dyn Read + Send)) -> Result<()> {
        let total = i64::try_from(size).unwrap_or(i64::MAX);
        let message = |action: WriteAction, offset: i64, data: Vec<u8>| WriteContentRequest {
            action: action.into(),
            reference: format!("corten-{digest}"),
            total,
            expected: digest.to_string(),
            offset,
            data,
        };
        let mut call = self.start("Write").await?;
        call.out.send(&message(WriteAction::Stat, 0, Vec::new())).await?;
        let status: Option<WriteContentResponse> = call.incoming.next().await?;
        let mut offset = status.map_or(0, |status| status.offset);
        // What an earlier attempt left there.
        let skip = u64::try_from(offset).unwrap_or(0);
        let skipped = io::copy(&mut content.take(skip), &mut io::sink());
        skipped.map_err(|error| Status::unknown(error.to_string()))?;
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let read = content.take(PIECE as u64).read_to_end(&mut piece);
            if read.map_err(|error| Status::unknown(error.to_string()))? == 0 {
                break;
            }
            let length = i64::try_from(piece.len()).unwrap_or(0);
            call.out.send(&message(WriteAction::Write, offset, piece)).await?;
            let _: Option<WriteContentResponse> = call.incoming.next().await?;
            offset += length;
        }
        call.out.send(&message(WriteAction::Commit, offset, Vec::new())).await?;
        let _: Option<WriteContentResponse> = call.incoming.next().await?;
        call.out.end();
        while call.incoming.next::<WriteContentResponse>().await?.is_some() {}
        Ok(())
    }
}

impl Blobs for ContentStore {
    fn title(&self) -> String {
        self.id.clone()
    }

    fn top(&self) -> Result<Vec<u8>, Error> {
        let missing = || Status::invalid(format!("{}: no digest says where to begin", self.id));
        let top = self.top.as_ref().ok_or_else(missing);
        let read = top.and_then(|top| self.runtime.block_on(self.bytes(top)));
        read.map_err(|status| build_error(&status))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let read = self.runtime.block_on(self.bytes(&descriptor.digest));
        read.map_err(|status| build_error(&status))
    }

    fn layer(&self, layer: &Descriptor, diff_id: &Digest, store: &Store, lease: &Lease) -> Result<(), Error> {
        let request = IngestRequest {
            resume: Resume::Never,
            ..IngestRequest::of(layer, diff_id)
        };
        store.take_layer(lease, &request, |mut ingest| {
            let incoming = self.runtime.block_on(self.read(&layer.digest));
            let mut pieces = Pieces {
                runtime: &self.runtime,
                incoming: incoming.map_err(|status| build_error(&status))?,
                current: io::Cursor::default(),
            };
            ingest.copy_from(&mut pieces)?;
            Ok::<_, Error>(ingest.finish()?)
        })?;
        Ok(())
    }
}

/// A blob as it comes.
struct Pieces<'a> {
    runtime: &'a Handle,
    incoming: Incoming,
    current: io::Cursor<Vec<u8>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let next = self.runtime.block_on(self.incoming.next::<ReadContentResponse>());
            match next.map_err(|status| io::Error::other(status.message))? {
                Some(piece) => self.current = io::Cursor::new(piece.data),
                None => return Ok(0),
            }
        }
    }
}

impl CacheTarget for ContentStore {
    fn title(&self) -> String {
        "exporting cache to client directory".to_owned()
    }

    fn export(&self, cache: &Exported<'_>, options: &CacheOptions) -> Result<BTreeMap<String, String>, Error> {
        let failed = |status: Status| build_error(&status);
        let mut blobs: Vec<CompressedBlob> = Vec::new();
        for layer in cache.layers() {
            let mut packed = cache.store().pack_to_file(layer, options.packing)?;
            let written = self.write(&packed.blob.digest, packed.blob.size, &mut packed.file);
            self.runtime.block_on(written).map_err(failed)?;
            blobs.push(packed.blob);
        }
        let (config, manifest) = cache.documents(&blobs, options)?;
        for document in [&config, &manifest] {
            let mut bytes = document.bytes.as_slice();
            let written = self.write(&document.descriptor.digest, document.descriptor.size, &mut bytes);
            self.runtime.block_on(written).map_err(failed)?;
        }
        Exported::answer(&manifest)
    }
}
