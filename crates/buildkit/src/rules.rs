//! What the checks of Dockerfiles are about (docs.docker.com/reference/build-checks).

use corten_dockerfile::Warning;

/// Where a check is explained.
pub(crate) fn url(warning: &Warning) -> String {
    format!("https://docs.docker.com/go/dockerfile/rule/{}/", warning.rule.slug())
}

/// What a check is about.
pub(crate) fn description(rule: &str) -> &'static str {
    let known = DESCRIPTIONS.iter().find(|(name, _)| *name == rule);
    known.map_or("", |(_, about)| about)
}

const DESCRIPTIONS: &[(&str, &str)] = &[
    ("StageNameCasing", "Names of stages should be in lower case"),
    (
        "FromAsCasing",
        "The 'as' keyword should match the case of the 'from' keyword",
    ),
    (
        "NoEmptyContinuation",
        "An empty line within a continued instruction will be an error some day",
    ),
    (
        "ConsistentInstructionCasing",
        "All instructions of a Dockerfile should be in one case, upper or lower",
    ),
    ("DuplicateStageName", "Every stage should have a name of its own"),
    ("ReservedStageName", "Reserved words are no names of stages"),
    (
        "JSONArgsRecommended",
        "ENTRYPOINT and CMD should be JSON lists, so that signals reach the program",
    ),
    (
        "MaintainerDeprecated",
        "MAINTAINER is deprecated: a label can name the author",
    ),
    (
        "UndefinedArgInFrom",
        "FROM can only use arguments that were declared before",
    ),
    (
        "WorkdirRelativePath",
        "A relative WORKDIR without an absolute one before depends on the base image",
    ),
    ("UndefinedVar", "Variables should be defined before they are used"),
    (
        "MultipleInstructionsDisallowed",
        "Of some instructions only the last of a stage counts",
    ),
    (
        "LegacyKeyValueFormat",
        "Names and values should be joined by an equals sign",
    ),
    (
        "InvalidBaseImagePlatform",
        "The base image is for another platform than the build",
    ),
    (
        "RedundantTargetPlatform",
        "The platform is $TARGETPLATFORM without being told so",
    ),
    ("SecretsUsedInArgOrEnv", "Secrets have no place in ARG and ENV"),
    (
        "InvalidDefaultArgInFrom",
        "The argument's default makes no name of an image",
    ),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform should not be a constant",
    ),
    ("CopyIgnoredFile", "What is copied is left out by .dockerignore"),
    (
        "InvalidDefinitionDescription",
        "A comment that describes a stage or an argument begins with its name",
    ),
    ("ExposeProtoCasing", "The protocol of EXPOSE should be in lower case"),
    ("ExposeInvalidFormat", "EXPOSE takes no address and no port of the host"),
];
