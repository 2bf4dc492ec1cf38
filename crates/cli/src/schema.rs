//! The Go types behind `inspect`, `info` and `version`: what their fields are called in templates, and
//! what they are when the document leaves them out.
//!
//! A schema is written as `GoName[=JsonName]:type` words. Types: `s` text, `i` number, `b` switch,
//! `l` list, `m` map, `t` time, `a` anything, `{name}` a structure, `*{name}` a pointer to one,
//! `[{name}]` a list of them, `<{name}>` a map of them.

use std::rc::Rc;

use corten_template::{Json, Struct, Value};

use crate::formatter::utc_time;

/// A structure's Go type.
pub(crate) struct Schema {
    /// Its name, as errors show it.
    kind: &'static str,
    /// Its fields.
    fields: &'static str,
    /// The structures that fields refer to.
    parts: &'static [(&'static str, &'static Schema)],
}

impl Schema {
    /// The typed value of a document.
    pub(crate) fn value(&self, json: &Json) -> Value {
        let fields = self
            .fields
            .split_whitespace()
            .filter_map(|word| word.split_once(':'))
            .map(|(names, kind)| {
                let (go, name) = names.split_once('=').unwrap_or((names, names));
                (go, self.field(kind, json.get(name).unwrap_or(&Json::Null)))
            })
            .collect();
        Value::Struct(Rc::new(Struct {
            kind: self.kind,
            fields,
            json: Some(json.clone()),
            ..Struct::default()
        }))
    }

    /// A structure, or a list of them.
    fn one_or_many(&self, json: &Json) -> Value {
        match json {
            Json::Array(items) => Value::list(items.iter().map(|item| self.value(item))),
            Json::Null => Value::NilList,
            one => self.value(one),
        }
    }

    fn part(&self, name: &str) -> Option<&'static Schema> {
        self.parts
            .iter()
            .find(|(part, _)| *part == name)
            .map(|(_, schema)| *schema)
    }

    fn field(&self, kind: &str, json: &Json) -> Value {
        let null = *json == Json::Null;
        match kind {
            "s" if null => "".into(),
            "i" if null => Value::Int(0),
            "b" if null => Value::Bool(false),
            "l" if null => Value::NilList,
            "m" if null => Value::NilMap,
            "t" => time(json),
            "l" | "s" | "i" | "b" | "a" | "m" => json.to_value(),
            kind => self.structure(kind, json),
        }
    }

    fn structure(&self, kind: &str, json: &Json) -> Value {
        let name = kind.trim_matches(|c: char| !c.is_alphanumeric());
        let Some(schema) = self.part(name) else {
            return json.to_value();
        };
        match (kind.chars().next(), json) {
            (Some('*'), Json::Null) => Value::NilPointer(schema.kind),
            (Some('['), Json::Array(items)) => Value::list(items.iter().map(|i| schema.value(i))),
            (Some('['), _) => Value::NilList,
            (Some('<'), Json::Object(members)) => {
                Value::map(members.iter().map(|(k, v)| (k.as_str(), schema.one_or_many(v))))
            }
            (Some('<'), _) => Value::NilMap,
            _ => schema.value(json),
        }
    }
}

/// A Go `time.Time`.
fn time(json: &Json) -> Value {
    let text = json.as_str().unwrap_or("0001-01-01T00:00:00Z");
    let shown = text.parse().map_or_else(|_| text.to_owned(), utc_time);
    Value::Struct(Rc::new(Struct {
        kind: "time.Time",
        json: Some(json.clone()),
        text: Some(shown),
        ..Struct::default()
    }))
}

const fn plain(kind: &'static str, fields: &'static str) -> Schema {
    Schema {
        kind,
        fields,
        parts: &[],
    }
}

static PROBE: Schema = plain("*container.HealthcheckResult", "Start:t End:t ExitCode:i Output:s");
static HEALTH: Schema = Schema {
    kind: "*container.Health",
    fields: "Status:s FailingStreak:i Log:[{probe}]",
    parts: &[("probe", &PROBE)],
};
static STATE: Schema = Schema {
    kind: "*container.State",
    fields: "Status:s Running:b Paused:b Restarting:b OOMKilled:b Dead:b Pid:i ExitCode:i Error:s StartedAt:s FinishedAt:s Health:*{health}",
    parts: &[("health", &HEALTH)],
};
static HEALTHCHECK: Schema = plain(
    "*v1.HealthcheckConfig",
    "Test:l Interval:i Timeout:i StartPeriod:i StartInterval:i Retries:i",
);
static CONFIG: Schema = Schema {
    kind: "*container.Config",
    fields: "Hostname:s Domainname:s User:s AttachStdin:b AttachStdout:b AttachStderr:b ExposedPorts:m Tty:b OpenStdin:b StdinOnce:b Env:l Cmd:l Healthcheck:*{check} ArgsEscaped:b Image:s Volumes:m WorkingDir:s Entrypoint:l NetworkDisabled:b MacAddress:s OnBuild:l Labels:m StopSignal:s StopTimeout:a Shell:l",
    parts: &[("check", &HEALTHCHECK)],
};
static LOG_CONFIG: Schema = plain("container.LogConfig", "Type:s Config:m");
static RESTART_POLICY: Schema = plain("container.RestartPolicy", "Name:s MaximumRetryCount:i");
static MOUNT: Schema = plain(
    "mount.Mount",
    "Type:s Source:s Target:s ReadOnly:b Consistency:s BindOptions:a VolumeOptions:a ImageOptions:a TmpfsOptions:a ClusterOptions:a",
);
static DEVICE: Schema = plain(
    "container.DeviceMapping",
    "PathOnHost:s PathInContainer:s CgroupPermissions:s",
);
static DEVICE_REQUEST: Schema = plain(
    "container.DeviceRequest",
    "Driver:s Count:i DeviceIDs:l Capabilities:l Options:m",
);
static ULIMIT: Schema = plain("*container.Ulimit", "Name:s Hard:i Soft:i");
static WEIGHT: Schema = plain("*blkiodev.WeightDevice", "Path:s Weight:i");
static THROTTLE: Schema = plain("*blkiodev.ThrottleDevice", "Path:s Rate:i");
static PORT: Schema = plain("nat.PortBinding", "HostIp:s HostPort:s");
static HOST_CONFIG: Schema = Schema {
    kind: "*container.HostConfig",
    fields: "Binds:l ContainerIDFile:s LogConfig:{log} NetworkMode:s PortBindings:<{port}> RestartPolicy:{restart} AutoRemove:b VolumeDriver:s VolumesFrom:l ConsoleSize:l Annotations:m CapAdd:l CapDrop:l CgroupnsMode:s DNS=Dns:l DNSOptions=DnsOptions:l DNSSearch=DnsSearch:l ExtraHosts:l GroupAdd:l IpcMode:s Cgroup:s Links:l OomScoreAdj:i PidMode:s Privileged:b PublishAllPorts:b ReadonlyRootfs:b SecurityOpt:l StorageOpt:m Tmpfs:m UTSMode:s UsernsMode:s ShmSize:i Sysctls:m Runtime:s Isolation:s CPUShares=CpuShares:i Memory:i NanoCPUs=NanoCpus:i CgroupParent:s BlkioWeight:i BlkioWeightDevice:[{weight}] BlkioDeviceReadBps:[{throttle}] BlkioDeviceWriteBps:[{throttle}] BlkioDeviceReadIOps:[{throttle}] BlkioDeviceWriteIOps:[{throttle}] CPUPeriod=CpuPeriod:i CPUQuota=CpuQuota:i CPURealtimePeriod=CpuRealtimePeriod:i CPURealtimeRuntime=CpuRealtimeRuntime:i CpusetCpus:s CpusetMems:s Devices:[{device}] DeviceCgroupRules:l DeviceRequests:[{request}] KernelMemory:i KernelMemoryTCP:i MemoryReservation:i MemorySwap:i MemorySwappiness:a OomKillDisable:a PidsLimit:a Ulimits:[{ulimit}] CPUCount=CpuCount:i CPUPercent=CpuPercent:i IOMaximumIOps:i IOMaximumBandwidth:i Mounts:[{mount}] MaskedPaths:l ReadonlyPaths:l Init:a",
    parts: &[
        ("log", &LOG_CONFIG),
        ("restart", &RESTART_POLICY),
        ("mount", &MOUNT),
        ("port", &PORT),
        ("weight", &WEIGHT),
        ("throttle", &THROTTLE),
        ("device", &DEVICE),
        ("request", &DEVICE_REQUEST),
        ("ulimit", &ULIMIT),
    ],
};
static MOUNT_POINT: Schema = plain(
    "container.MountPoint",
    "Type:s Name:s Source:s Destination:s Driver:s Mode:s RW:b Propagation:s",
);
static ENDPOINT_IPAM: Schema = plain(
    "*network.EndpointIPAMConfig",
    "IPv4Address:s IPv6Address:s LinkLocalIPs:l",
);
static ENDPOINT: Schema = Schema {
    kind: "*network.EndpointSettings",
    fields: "IPAMConfig:*{ipam} Links:l Aliases:l MacAddress:s DriverOpts:m GwPriority:i NetworkID:s EndpointID:s Gateway:s IPAddress:s IPPrefixLen:i IPv6Gateway:s GlobalIPv6Address:s GlobalIPv6PrefixLen:i DNSNames:l",
    parts: &[("ipam", &ENDPOINT_IPAM)],
};
static NETWORK_SETTINGS: Schema = Schema {
    kind: "*container.NetworkSettings",
    fields: "Bridge:s SandboxID:s SandboxKey:s Ports:m HairpinMode:b LinkLocalIPv6Address:s LinkLocalIPv6PrefixLen:i SecondaryIPAddresses:l SecondaryIPv6Addresses:l EndpointID:s Gateway:s GlobalIPv6Address:s GlobalIPv6PrefixLen:i IPAddress:s IPPrefixLen:i IPv6Gateway:s MacAddress:s Networks:<{endpoint}>",
    parts: &[("endpoint", &ENDPOINT)],
};
static DRIVER_DATA: Schema = plain("storage.DriverData", "Data:m Name:s");

/// A container.
pub(crate) static CONTAINER: Schema = Schema {
    kind: "container.InspectResponse",
    fields: "ID=Id:s Created:s Path:s Args:l State:*{state} Image:s ResolvConfPath:s HostnamePath:s HostsPath:s LogPath:s Name:s RestartCount:i Driver:s Platform:s MountLabel:s ProcessLabel:s AppArmorProfile:s ExecIDs:l HostConfig:*{host} GraphDriver:{driver} SizeRw:a SizeRootFs:a Mounts:[{mount}] Config:*{config} NetworkSettings:*{network} ImageManifestDescriptor:a",
    parts: &[
        ("state", &STATE),
        ("host", &HOST_CONFIG),
        ("driver", &DRIVER_DATA),
        ("mount", &MOUNT_POINT),
        ("config", &CONFIG),
        ("network", &NETWORK_SETTINGS),
    ],
};

static IMAGE_CONFIG: Schema = Schema {
    kind: "*v1.DockerOCIImageConfig",
    fields: "User:s ExposedPorts:m Env:l Entrypoint:l Cmd:l Volumes:m WorkingDir:s Labels:m StopSignal:s ArgsEscaped:b Healthcheck:*{check} OnBuild:l Shell:l",
    parts: &[("check", &HEALTHCHECK)],
};
static ROOT_FS: Schema = plain("image.RootFS", "Type:s Layers:l");
static IMAGE_METADATA: Schema = plain("image.Metadata", "LastTagTime:t");

/// An image.
pub(crate) static IMAGE: Schema = Schema {
    kind: "image.InspectResponse",
    fields: "ID=Id:s RepoTags:l RepoDigests:l Parent:s Comment:s Created:s DockerVersion:s Author:s Config:*{config} Architecture:s Variant:s Os:s OsVersion:s Size:i VirtualSize:i GraphDriver:{driver} RootFS:{root} Metadata:{metadata} Descriptor:a Manifests:l",
    parts: &[
        ("config", &IMAGE_CONFIG),
        ("driver", &DRIVER_DATA),
        ("root", &ROOT_FS),
        ("metadata", &IMAGE_METADATA),
    ],
};

static IPAM_CONFIG: Schema = plain(
    "network.IPAMConfig",
    "Subnet:s IPRange:s Gateway:s AuxAddress=AuxiliaryAddresses:m",
);
static IPAM: Schema = Schema {
    kind: "network.IPAM",
    fields: "Driver:s Options:m Config:[{config}]",
    parts: &[("config", &IPAM_CONFIG)],
};
static CONFIG_FROM: Schema = plain("network.ConfigReference", "Network:s");
static NETWORK_ENDPOINT: Schema = plain(
    "network.EndpointResource",
    "Name:s EndpointID:s MacAddress:s IPv4Address:s IPv6Address:s",
);

/// A network.
pub(crate) static NETWORK: Schema = Schema {
    kind: "network.Inspect",
    fields: "Name:s ID=Id:s Created:t Scope:s Driver:s EnableIPv4:b EnableIPv6:b IPAM:{ipam} Internal:b Attachable:b Ingress:b ConfigFrom:{from} ConfigOnly:b Containers:<{endpoint}> Options:m Labels:m Peers:l Services:m",
    parts: &[("ipam", &IPAM), ("from", &CONFIG_FROM), ("endpoint", &NETWORK_ENDPOINT)],
};

/// A volume.
pub(crate) static VOLUME: Schema = plain(
    "volume.Volume",
    "ClusterVolume:a CreatedAt:s Driver:s Labels:m Mountpoint:s Name:s Options:m Scope:s Status:m UsageData:a",
);

static PLUGINS: Schema = plain("system.PluginsInfo", "Volume:l Network:l Authorization:l Log:l");
static COMMIT: Schema = plain("system.Commit", "ID:s Expected:s");
static SWARM: Schema = plain(
    "swarm.Info",
    "NodeID:s NodeAddr:s LocalNodeState:s ControlAvailable:b Error:s RemoteManagers:l Nodes:i Managers:i Cluster:a Warnings:l",
);
static REGISTRY_CONFIG: Schema = plain(
    "*registry.ServiceConfig",
    "InsecureRegistryCIDRs:l IndexConfigs:m Mirrors:l",
);
static CLIENT_INFO: Schema = plain(
    "*system.clientInfo",
    "Debug:b Version:s DefaultAPIVersion:s GitCommit:s GoVersion:s Os:s Arch:s BuildTime:s Context:s Plugins:l Warnings:l",
);

/// `info`.
pub(crate) static INFO: Schema = Schema {
    kind: "system.dockerInfo",
    fields: "ID:s Containers:i ContainersRunning:i ContainersPaused:i ContainersStopped:i Images:i Driver:s DriverStatus:l SystemStatus:l Plugins:{plugins} MemoryLimit:b SwapLimit:b KernelMemory:b KernelMemoryTCP:b CPUCfsPeriod=CpuCfsPeriod:b CPUCfsQuota=CpuCfsQuota:b CPUShares:b CPUSet:b PidsLimit:b IPv4Forwarding:b BridgeNfIptables:b BridgeNfIP6tables=BridgeNfIp6tables:b Debug:b NFd:i OomKillDisable:b NGoroutines:i SystemTime:s LoggingDriver:s CgroupDriver:s CgroupVersion:s NEventsListener:i KernelVersion:s OperatingSystem:s OSVersion:s OSType:s Architecture:s IndexServerAddress:s RegistryConfig:*{registry} NCPU:i MemTotal:i GenericResources:l DockerRootDir:s HTTPProxy=HttpProxy:s HTTPSProxy=HttpsProxy:s NoProxy:s Name:s Labels:l ExperimentalBuild:b ServerVersion:s Runtimes:m DefaultRuntime:s Swarm:{swarm} LiveRestoreEnabled:b Isolation:s InitBinary:s ContainerdCommit:{commit} RuncCommit:{commit} InitCommit:{commit} SecurityOptions:l ProductLicense:s DefaultAddressPools:l FirewallBackend:a CDISpecDirs:l DiscoveredDevices:l Containerd:a Warnings:l ServerErrors:l ClientInfo:*{client}",
    parts: &[
        ("plugins", &PLUGINS),
        ("commit", &COMMIT),
        ("swarm", &SWARM),
        ("registry", &REGISTRY_CONFIG),
        ("client", &CLIENT_INFO),
    ],
};

static PLATFORM: Schema = plain("*struct { Name string }", "Name:s");
static COMPONENT: Schema = plain("types.ComponentVersion", "Name:s Version:s Details:m");
static CLIENT_VERSION: Schema = Schema {
    kind: "system.clientVersion",
    fields: "Platform:*{platform} Version:s APIVersion=ApiVersion:s DefaultAPIVersion:s GitCommit:s GoVersion:s Os:s Arch:s BuildTime:s Context:s",
    parts: &[("platform", &PLATFORM)],
};
static SERVER_VERSION: Schema = Schema {
    kind: "*types.Version",
    fields: "Platform:{platform} Components:[{component}] Version:s APIVersion=ApiVersion:s MinAPIVersion:s GitCommit:s GoVersion:s Os:s Arch:s KernelVersion:s Experimental:b BuildTime:s",
    parts: &[("platform", &PLATFORM), ("component", &COMPONENT)],
};

/// `version`.
pub(crate) static VERSION: Schema = Schema {
    kind: "system.versionInfo",
    fields: "Client:{client} Server:*{server}",
    parts: &[("client", &CLIENT_VERSION), ("server", &SERVER_VERSION)],
};

static ACTOR: Schema = plain("events.Actor", "ID:s Attributes:m");

/// An event.
pub(crate) static EVENT: Schema = Schema {
    kind: "events.Message",
    fields: "Status=status:s ID=id:s From=from:s Type:s Action:s Actor:{actor} Scope=scope:s Time=time:i TimeNano=timeNano:i",
    parts: &[("actor", &ACTOR)],
};

static OCI_PLATFORM: Schema = plain(
    "v1.Platform",
    "Architecture=architecture:s OS=os:s OSVersion=os.version:s OSFeatures=os.features:l Variant=variant:s",
);
static DESCRIPTOR: Schema = Schema {
    kind: "v1.Descriptor",
    fields: "MediaType=mediaType:s Digest=digest:s Size=size:i URLs=urls:l Annotations=annotations:m Platform=platform:*{platform} ArtifactType=artifactType:s",
    parts: &[("platform", &OCI_PLATFORM)],
};

/// What `imagetools inspect` says of a manifest or index.
pub(crate) static OCI_MANIFEST: Schema = Schema {
    kind: "imagetools.tplManifest",
    fields: "SchemaVersion=schemaVersion:i MediaType=mediaType:s Digest=digest:s Size=size:i Manifests=manifests:[{descriptor}] Annotations=annotations:m",
    parts: &[("descriptor", &DESCRIPTOR)],
};

static OCI_CONFIG: Schema = plain(
    "v1.ImageConfig",
    "User:s ExposedPorts:m Env:l Entrypoint:l Cmd:l Volumes:m WorkingDir:s Labels:m StopSignal:s ArgsEscaped:b Healthcheck:a OnBuild:l StopTimeout:a Shell:l",
);
static OCI_ROOTFS: Schema = plain("v1.RootFS", "Type=type:s DiffIDs=diff_ids:l");
static OCI_HISTORY: Schema = plain(
    "v1.History",
    "Created=created:t CreatedBy=created_by:s Author=author:s Comment=comment:s EmptyLayer=empty_layer:b",
);

/// An image's configuration, as registries have it.
pub(crate) static OCI_IMAGE: Schema = Schema {
    kind: "v1.Image",
    fields: "Created=created:t Author=author:s Architecture=architecture:s OS=os:s OSVersion=os.version:s OSFeatures=os.features:l Variant=variant:s Config=config:{config} RootFS=rootfs:{rootfs} History=history:[{history}]",
    parts: &[
        ("config", &OCI_CONFIG),
        ("rootfs", &OCI_ROOTFS),
        ("history", &OCI_HISTORY),
    ],
};
