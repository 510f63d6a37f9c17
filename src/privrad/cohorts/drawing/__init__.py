"""Drawing of radiographs in anatomical coordinates; arrays only, no files.

x is 0 on the midline and grows towards the right of the picture (the patient's left); y grows downwards;
1 is half the inner width of the thorax. What is drawn is attenuation, so that bright is dense.
"""
