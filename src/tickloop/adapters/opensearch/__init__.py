"""Raw events in OpenSearch: an index a day, one document a line of the journal."""
