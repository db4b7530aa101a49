"""Release exercises, and grade what students hand in: ``python -m tools.grading``.

Sources in nbgrader's format, with solutions and hidden tests, are in
``notebooks/exercises/source``. Each student's answers run in a process group and a folder of their
own, within limits of computing time, memory and bytes. That protects the batch from accidents:
endless loops, exhausted memory, edited or missing cells. It does not protect the machine from
malice: whoever can write code can read the tests while they run. Grade strangers' code in a
container or a virtual machine.
"""
