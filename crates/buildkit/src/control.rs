//! `moby.buildkit.v1.Control`

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::BytesMut;
use corten_api::system::BuildCache;
use corten_build::{Filters, Rule};
use corten_oci::image::media_type::DOCKER_CONFIG;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    files::copies::Kept,
    filters,
    grpc::{Answer, Request, Result, Status},
    history::{self, IN_TOTO},
    inner::Inner,
    proto::{
        content,
        control::{
            BuildHistoryEvent, BuildHistoryRecord, BuildHistoryRequest, BuildResultInfo, Descriptor, DiskUsageRequest,
            DiskUsageResponse, Exporter, HistoryEventKind, InfoResponse, ListWorkersResponse, PruneRequest,
            SolveRequest, SolveResponse, StatusRequest, UpdateBuildHistoryRequest, UsageRecord,
        },
        parts::{BytesMessage, Nothing, Time},
    },
    solve::Solve,
    status::StatusLog,
    threads::blocking,
    workers,
};

/// Bytes of a session in one message.
const TUNNELLED: usize = 32 << 10;

/// Bytes of a document in one message.
const PIECE: usize = 512 << 10;

impl Inner {
    /// Answers a call of the service.
    pub(crate) async fn control(self: &Arc<Self>, method: &str, mut request: Request, answer: &Answer) -> Result<()> {
        let messages = &mut request.messages;
        match method {
            "Info" => {
                let version = Some(workers::version());
                answer.send(&InfoResponse { version }).await
            }
            "ListWorkers" => {
                let record = vec![workers::worker(&self.id)];
                answer.send(&ListWorkersResponse { record }).await
            }
            "DiskUsage" => {
                let asked: DiskUsageRequest = messages.only().await?;
                let filters = read(&asked.filter)?;
                let mut record = self.usage().await?;
                record.retain(|record| filters.accept(&filters::facts(record)));
                answer.send(&DiskUsageResponse { record }).await
            }
            "Prune" => self.prune(messages.only().await?, answer).await,
            "Solve" => {
                let response = self.solve(messages.only().await?).await?;
                answer.send(&response).await
            }
            "Session" => self.tunnel(request, answer).await,
            "Status" => self.status(messages.only().await?, answer).await,
            "ListenBuildHistory" => self.listen(messages.only().await?, answer).await,
            "UpdateBuildHistory" => {
                let (inner, asked) = (Arc::clone(self), messages.only().await?);
                blocking(move || inner.update_history(&asked)).await?;
                answer.send(&Nothing {}).await
            }
            other => Err(Status::unimplemented(format!("Control.{other} is not supported"))),
        }
    }

    /// Begins a build, and ends when it has ended.
    async fn solve(self: &Arc<Self>, mut request: SolveRequest) -> Result<SolveResponse> {
        if request.definition.as_ref().is_some_and(|graph| !graph.def.is_empty()) {
            return Err(Status::unimplemented(
                "builds of LLB graphs are not supported: only Dockerfiles are",
            ));
        }
        if request.exporters.is_empty() && !request.exporter_deprecated.is_empty() {
            request.exporters.push(Exporter {
                kind: request.exporter_deprecated.clone(),
                attrs: request.exporter_attrs_deprecated.clone(),
            });
        }
        let session = self.sessions.get(&request.session).await?;
        let solve = Arc::new(Solve::new(request, session));
        self.solves.add(&solve)?;
        let mut ending = Ending {
            inner: Arc::clone(self),
            solve: Arc::clone(&solve),
            result: None,
        };
        if !solve.request.internal {
            self.history.tell(HistoryEventKind::Started, record(&solve));
        }
        let result = match solve.request.frontend.as_str() {
            "" => solve.given_back().await,
            _ => self.frontend(&solve, None).await.map(drop),
        };
        ending.result = Some(result.clone());
        drop(ending);
        result?;
        Ok(SolveResponse {
            exporter_response: solve.answers(),
        })
    }

    /// A session whose bytes go through messages instead of a connection of its own.
    async fn tunnel(&self, request: Request, answer: &Answer) -> Result<()> {
        /// Bytes on the way.
        const WAITING: usize = 256 << 10;
        let (near, far) = tokio::io::duplex(WAITING);
        let (mut from_session, mut to_session) = tokio::io::split(near);
        let mut messages = request.messages;
        let there = async {
            let mut buffer = BytesMut::with_capacity(TUNNELLED);
            while let Ok(1..) = from_session.read_buf(&mut buffer).await {
                let data = buffer.split().freeze();
                answer.send(&BytesMessage { data }).await?;
                buffer.reserve(TUNNELLED);
            }
            Ok(())
        };
        let back = async {
            while let Some(BytesMessage { data }) = messages.next().await? {
                to_session.write_all(&data).await?;
            }
            to_session.shutdown().await?;
            Ok(())
        };
        // It is over when any of them is.
        tokio::select! {
            ended = self.sessions.serve(&request.metadata, far) => ended,
            ended = there => ended,
            ended = back => ended,
        }
    }

    async fn status(self: &Arc<Self>, request: StatusRequest, answer: &Answer) -> Result<()> {
        let name = &request.reference;
        let follow = async |log: &StatusLog| {
            let mut from = 0;
            while let Some((message, next)) = log.next(from).await {
                answer.send(&message).await?;
                from = next;
            }
            Ok(())
        };
        if self.solves.find(name).is_none() {
            let (inner, asked) = (Arc::clone(self), name.clone());
            if let Some(messages) = blocking(move || Ok(inner.history.log(&asked))).await? {
                return follow(&StatusLog::recorded(messages)).await;
            }
        }
        let solve = self.solves.get(name).await?;
        follow(&solve.log).await
    }

    async fn usage(&self) -> Result<Vec<UsageRecord>> {
        let steps = self.engine.builds().cache().await;
        let steps = steps.map_err(|error| Status::unknown(error.report()))?;
        let copies = self.copies.clone();
        let copies = blocking(move || Ok(copies.list())).await?.into_iter().map(copy_record);
        Ok(steps.into_iter().map(step_record).chain(copies).collect())
    }

    async fn prune(&self, request: PruneRequest, answer: &Answer) -> Result<()> {
        let filters = read(&request.filter)?;
        let before: BTreeMap<String, UsageRecord> = self
            .usage()
            .await?
            .into_iter()
            .map(|record| (record.id.clone(), record))
            .collect();
        let bytes = |number: i64| u64::try_from(number).unwrap_or(0);
        let unused_for = (request.keep_duration != 0).then(|| Duration::from_nanos(bytes(request.keep_duration)));
        let rule = Rule {
            all: request.all,
            filters: filters.clone(),
            unused_for,
            reserved: bytes(request.reserved_space),
            most: bytes(request.max_used_space),
            free: bytes(request.min_free_space),
        };
        let sizeless = rule.has_no_sizes();
        let pruned = self.engine.builds().prune(rule).await;
        let mut gone = pruned.map_err(|error| Status::unknown(error.report()))?.ids;
        // Clients' copies are bounded by their number, not by bytes.
        if sizeless {
            let since = unused_for.and_then(|time| SystemTime::now().checked_sub(time));
            let keeps = move |copy: &Kept| {
                let facts = filters::facts(&copy_record(copy.clone()));
                since.is_some_and(|since| copy.used >= since) || !filters.accept(&facts)
            };
            let copies = self.copies.clone();
            let copies = blocking(move || copies.prune(keeps)).await?;
            gone.extend(copies.into_iter().map(|copy| copy.name));
        }
        for id in gone {
            let unlisted = || UsageRecord {
                id: id.clone(),
                record_type: "exec.cachemount".to_owned(),
                ..UsageRecord::default()
            };
            let record = before.get(&id).cloned().unwrap_or_else(unlisted);
            answer.send(&record).await?;
        }
        Ok(())
    }

    async fn listen(self: &Arc<Self>, request: BuildHistoryRequest, answer: &Answer) -> Result<()> {
        let mut events = self.history.subscribe();
        let wanted = |name: &str| request.reference.is_empty() || request.reference == name;
        let send = async |kind: HistoryEventKind, record: BuildHistoryRecord| {
            let event = BuildHistoryEvent {
                kind: kind.into(),
                record: Some(record),
            };
            answer.send(&event).await
        };
        if let Some(filter) = request.filter.iter().find(|filter| !filter.is_empty()) {
            return Err(Status::unimplemented(format!(
                "history filter {filter:?} is not supported"
            )));
        }
        for solve in self.solves.list() {
            if !solve.request.internal && wanted(&solve.request.reference) {
                send(HistoryEventKind::Started, record(&solve)).await?;
            }
        }
        if !request.active_only {
            let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
            let inner = Arc::clone(self);
            let records = blocking(move || Ok(inner.history.list())).await?;
            let records = records.into_iter().filter(|record| wanted(&record.reference));
            for record in records.take(limit.unwrap_or(usize::MAX)) {
                send(HistoryEventKind::Complete, record).await?;
            }
        }
        if request.early_exit {
            return Ok(());
        }
        loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => continue,
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return Ok(()),
            };
            let name = event.record.as_ref().map_or("", |record| record.reference.as_str());
            if wanted(name) {
                answer.send(&event).await?;
            }
        }
    }

    fn update_history(&self, request: &UpdateBuildHistoryRequest) -> Result<()> {
        let name = &request.reference;
        if request.delete {
            return self.history.remove(name);
        }
        // All that there is of a build is there as soon as it has ended.
        if request.finalize {
            return match self.history.get(name) {
                Some(_) => Ok(()),
                None => Err(Status::not_found(format!("no build record {name:?}"))),
            };
        }
        self.history.pin(name, request.pinned)
    }

    /// Answers a call for documents of the history.
    pub(crate) async fn content(self: &Arc<Self>, method: &str, mut request: Request, answer: &Answer) -> Result<()> {
        let find = async |digest: &str| {
            let (inner, asked) = (Arc::clone(self), digest.to_owned());
            let found = blocking(move || Ok(inner.history.blob(&asked))).await?;
            found.ok_or_else(|| Status::not_found(format!("content {digest}: not found")))
        };
        match method {
            "Info" => {
                let asked: content::InfoRequest = request.messages.only().await?;
                let (bytes, record) = find(&asked.digest).await?;
                let info = content::Info {
                    digest: asked.digest,
                    size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
                    created_at: record.completed_at,
                    updated_at: record.completed_at,
                };
                answer.send(&content::InfoResponse { info: Some(info) }).await
            }
            "Read" => {
                let asked: content::ReadContentRequest = request.messages.only().await?;
                let (bytes, _) = find(&asked.digest).await?;
                let from = usize::try_from(asked.offset).unwrap_or(0).min(bytes.len());
                let length = usize::try_from(asked.size).ok().filter(|size| *size > 0);
                let end = length.map_or(bytes.len(), |length| from.saturating_add(length).min(bytes.len()));
                let mut offset = from;
                for piece in bytes[from..end].chunks(PIECE) {
                    let message = content::ReadContentResponse {
                        offset: i64::try_from(offset).unwrap_or(i64::MAX),
                        data: piece.to_vec(),
                    };
                    answer.send(&message).await?;
                    offset += piece.len();
                }
                Ok(())
            }
            other => Err(Status::unimplemented(format!("Content.{other} is not supported"))),
        }
    }
}

fn read(filters: &[String]) -> Result<Filters> {
    Filters::read(filters).map_err(|error| Status::unimplemented(error.told()))
}

/// What is done when a build ends, however that happens.
struct Ending {
    inner: Arc<Inner>,
    solve: Arc<Solve>,
    result: Option<Result<()>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Before the client hears of the end. Files are written and deleted, and others go on meanwhile.
        tokio::task::block_in_place(|| self.keep());
    }
}

impl Ending {
    fn keep(&mut self) {
        let solve = &self.solve;
        solve.log.end();
        self.inner.solves.remove(&solve.request.reference);
        let (builds, unnamed) = (self.inner.engine.builds().clone(), solve.take_unnamed());
        if let (false, Ok(runtime)) = (unnamed.is_empty(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { builds.drop_unnamed(unnamed).await });
        }
        self.inner.copies.trim();
        if solve.request.internal {
            return;
        }
        let cancelled = || Err(Status::new(crate::grpc::Code::Cancelled, "context canceled"));
        let result = self.result.take().unwrap_or_else(cancelled);
        let record = finished(solve, result);
        let log = solve.log.all().iter().map(|message| (**message).clone()).collect();
        if let Err(error) = self.inner.history.add(record, log, solve.provenance().as_deref()) {
            tracing::warn!(%error, "a build is not kept in the history");
        }
    }
}

/// The record of a build that goes on.
pub(crate) fn record(solve: &Solve) -> BuildHistoryRecord {
    let counts = solve.log.counts();
    BuildHistoryRecord {
        reference: solve.request.reference.clone(),
        frontend: solve.request.frontend.clone(),
        frontend_attrs: solve.request.frontend_attrs.clone(),
        exporters: solve.request.exporters.clone(),
        created_at: Some(solve.began.into()),
        exporter_response: solve.answers(),
        cached_steps: counts.cached,
        total_steps: counts.total,
        completed_steps: counts.completed,
        warnings: counts.warnings,
        ..BuildHistoryRecord::default()
    }
}

/// The record of a build that has ended.
fn finished(solve: &Solve, result: Result<()>) -> BuildHistoryRecord {
    let answers = solve.answers();
    let image = answers.get("containerimage.config.digest").map(|digest| Descriptor {
        media_type: DOCKER_CONFIG.to_owned(),
        digest: digest.clone(),
        ..Descriptor::default()
    });
    let attestations = solve.provenance().map(|bytes| {
        let mut descriptor = history::descriptor(IN_TOTO, &bytes);
        descriptor.annotations.insert(
            "in-toto.io/predicate-type".to_owned(),
            "https://slsa.dev/provenance/v0.2".to_owned(),
        );
        descriptor
    });
    BuildHistoryRecord {
        error: result.err().map(|status| status.to_rpc()),
        completed_at: Some(Time::now()),
        result: Some(BuildResultInfo {
            result_deprecated: image.clone(),
            attestations: attestations.into_iter().collect(),
            results: image.into_iter().map(|image| (0, image)).collect(),
        }),
        ..record(solve)
    }
}

fn step_record(step: BuildCache) -> UsageRecord {
    let time = |nanoseconds: i64| Time {
        seconds: nanoseconds.div_euclid(1_000_000_000),
        nanos: i32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or(0),
    };
    UsageRecord {
        id: step.id,
        in_use: step.in_use,
        size: step.size,
        created_at: Some(time(step.created_at.nanoseconds())),
        last_used_at: step.last_used_at.map(|at| time(at.nanoseconds())),
        usage_count: step.usage_count,
        description: step.description,
        record_type: step.kind,
        shared: step.shared,
        ..UsageRecord::default()
    }
}

fn copy_record(copy: Kept) -> UsageRecord {
    let used = Timestamp::try_from(copy.used).ok().map(Time::from);
    UsageRecord {
        id: copy.name,
        mutable: true,
        size: i64::try_from(copy.size).unwrap_or(i64::MAX),
        created_at: used,
        last_used_at: used,
        usage_count: 1,
        description: "local source of a client".to_owned(),
        record_type: "source.local".to_owned(),
        ..UsageRecord::default()
    }
}
