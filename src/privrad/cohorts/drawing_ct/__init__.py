"""Drawing of abdominal CT scans in anatomical coordinates; arrays only, no files.

x grows towards the patient's left, y to the back, z to the head, in millimetres of a reference body whose abdominal
cavity is 276 mm wide; z is 0 at the neck of the pancreas. What is drawn is Hounsfield units.
"""
