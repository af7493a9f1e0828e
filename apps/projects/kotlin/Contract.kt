package com.example.picturemodel

/** <<fit>>. */
val CONTRACT = Contract(
    file = <<file>>,
    width = <<width>>,
    height = <<height>>,
    channels = <<channels>>,
    fit = "<<fit_word>>",
    filter = "<<filter>>",
    takesBytes = <<takes_bytes>>,
    givesBytes = <<gives_bytes>>,
    count = <<count>>,
    scale = <<scale>>f,
    zeroPoint = <<zero_point>>,
    head = "<<head>>",
    threshold = <<threshold>>f,
    tolerance = <<tolerance>>f,
    forGpu = <<for_gpu>>,
)
