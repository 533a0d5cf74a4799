//! Which environment variable a provider's plugin reads its key from (semantics B12).
//!
//! Owns: the built-in table, as of livekit-agents 1.8. Never: holds a key.

/// Plugins whose variable is not `<PROVIDER>_API_KEY`.
const EXCEPTIONS: [(&str, &str); 10] = [
    ("azure", "AZURE_SPEECH_KEY"),
    ("cambai", "CAMB_API_KEY"),
    ("clova", "CLOVA_STT_SECRET_KEY"),
    ("elevenlabs", "ELEVEN_API_KEY"),
    ("fal", "FAL_KEY"),
    ("fireworksai", "FIREWORKS_API_KEY"),
    ("fishaudio", "FISH_API_KEY"),
    ("mistralai", "MISTRAL_API_KEY"),
    ("playai", "PLAYHT_API_KEY"),
    ("smallestai", "SMALLEST_API_KEY"),
];

/// Plugins known by name, for suggestions only: another name is passed on as it is.
const KNOWN: [&str; 40] = [
    "anthropic",
    "assemblyai",
    "asyncai",
    "aws",
    "baseten",
    "bedrock",
    "bland",
    "cartesia",
    "cerebras",
    "deepgram",
    "deepseek",
    "gemini",
    "gladia",
    "gnani",
    "google",
    "gradium",
    "groq",
    "hume",
    "inference",
    "inworld",
    "lmnt",
    "minimax",
    "mistral",
    "murf",
    "neuphonic",
    "nvidia",
    "openai",
    "openrouter",
    "palabra",
    "perplexity",
    "resemble",
    "rime",
    "sarvam",
    "soniox",
    "speechify",
    "speechmatics",
    "spitch",
    "telnyx",
    "vertexai",
    "xai",
];

/// The variable under which a service account's file is named to Google's libraries.
pub const GOOGLE_CREDENTIALS_VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// The variable of a provider's key.
pub fn key_variable(plugin: &str) -> String {
    match EXCEPTIONS.iter().find(|(name, _)| *name == plugin) {
        Some((_, variable)) => (*variable).to_owned(),
        None => format!("{}_API_KEY", plugin.to_ascii_uppercase().replace('-', "_")),
    }
}

/// Variables of keys that a plugin needs beside that of [`key_variable`].
const FURTHER: [(&str, &str); 6] = [
    ("aws", "AWS_ACCESS_KEY_ID"),
    ("aws", "AWS_SECRET_ACCESS_KEY"),
    ("azure", "AZURE_OPENAI_API_KEY"),
    ("clova", "CLOVA_STT_INVOKE_URL"),
    ("inference", "LIVEKIT_INFERENCE_API_KEY"),
    ("inference", "LIVEKIT_INFERENCE_API_SECRET"),
];

/// Every known plugin with each variable that it reads a key from.
pub fn key_variables() -> impl Iterator<Item = (&'static str, String)> {
    let excepted = EXCEPTIONS.iter().map(|(plugin, variable)| (*plugin, (*variable).to_owned()));
    let further = FURTHER.iter().map(|(plugin, variable)| (*plugin, (*variable).to_owned()));
    let regular =
        KNOWN.iter().filter(|plugin| **plugin != super::INFERENCE).map(|plugin| (*plugin, key_variable(plugin)));
    excepted.chain(regular).chain(further)
}

/// The known plugin that reads its key from this variable.
pub fn plugin_of(variable: &str) -> Option<&'static str> {
    key_variables().find(|(_, known)| known == variable).map(|(plugin, _)| plugin)
}

/// Plugins that read no key of their own under `api_keys`; those of AWS stand in `env`.
const KEYLESS: [&str; 8] =
    ["aws", "blingfire", "browser", "langchain", "nltk", "noise_cancellation", "silero", "turn_detector"];

/// Whether a plugin has no key under `api_keys`.
pub fn takes_no_key(plugin: &str) -> bool {
    KEYLESS.contains(&plugin)
}

/// Whether a provider's key may be a service account's JSON file, named by path (Google's speech plugins).
pub fn takes_credentials_file(plugin: &str) -> bool {
    matches!(plugin, "google" | "gemini" | "vertexai")
}

/// A known plugin that this unknown name may be a slip of.
pub(super) fn slip_of(plugin: &str) -> Option<&'static str> {
    let names = || EXCEPTIONS.iter().map(|(name, _)| *name).chain(KNOWN);
    if names().any(|name| name == plugin) {
        return None;
    }
    super::suggest::nearest(plugin, names())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_those_that_the_plugins_read() {
        assert_eq!(key_variable("openai"), "OPENAI_API_KEY");
        assert_eq!(key_variable("elevenlabs"), "ELEVEN_API_KEY");
        assert_eq!(key_variable("azure"), "AZURE_SPEECH_KEY");
        assert_eq!(key_variable("my-own"), "MY_OWN_API_KEY");
    }

    #[test]
    fn a_slip_is_told_from_a_name_of_ones_own() {
        assert_eq!(slip_of("deepgran"), Some("deepgram"));
        assert_eq!(slip_of("deepgram"), None);
        assert_eq!(slip_of("in-house"), None);
    }
}
