//! The mirror on real Apache Kafka.
mod relay;
mod support;
