/// <<fit>>.
public let contract = Contract(
    file: <<file>>,
    width: <<width>>, height: <<height>>, channels: <<channels>>,
    fit: "<<fit_word>>", filter: "<<filter>>",
    takesBytes: <<takes_bytes>>, givesBytes: <<gives_bytes>>,
    count: <<count>>,
    scale: <<scale>>,
    zeroPoint: <<zero_point>>,
    head: "<<head>>",
    threshold: <<threshold>>, tolerance: <<tolerance>>
)
