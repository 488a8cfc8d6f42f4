"""What decoders are made of besides attention: ties between patches, outliers, and a second network's grid."""
