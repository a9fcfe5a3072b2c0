-- contents_digest: a hash of what a person can edit in a dead letter
encode(sha256(sha256(body) || sha256(content_header)), 'hex')
