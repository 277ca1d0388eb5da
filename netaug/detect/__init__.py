"""Detection as pure, testable pieces: boxes, anchors, assignment, loss, decoding, average precision."""
