-- contents_digest: a hash of the editable contents of a dead letter
encode(sha256(sha256(body) || sha256(content_header)), 'hex')
