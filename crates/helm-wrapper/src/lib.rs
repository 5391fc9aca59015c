//! The one place that starts helm: charts, rendering, releases.
