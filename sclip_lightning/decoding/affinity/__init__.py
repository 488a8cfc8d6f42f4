"""What decoders are made of besides attention: ties between patches, outliers, segments, a second network's grid."""
